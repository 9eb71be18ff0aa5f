"""What the quickstart trains and compares: one class for each job."""

import statistics
from pathlib import Path

from mmssl.experiments.steps import Steps
from mmssl.experiments.time_plan import Cost, Plan
from mmssl.utils.command import text_option


class SynFoCJob:
    """SynFoC and its networks on labels alone; four made-up scanners, one of them labelled."""

    folder, iters = 'work_dirs/quickstart', 400
    runs = {
        'synfoc': 'configs/synfoc/lite_phantom.py',
        'samed': 'configs/samed/lite_phantom.py',
        'sup_only': 'configs/sup_only/lite_phantom.py',
    }
    rows = {
        'SynFoC, LiteMedSAM': ('synfoc', 'sam'),
        'labels only, LiteMedSAM': ('samed', 'sam'),
        'SynFoC, U-Net': ('synfoc', 'unet'),
        'labels only, U-Net': ('sup_only', 'unet'),
    }
    # Each row beside the same network on the labels alone.
    controls = {
        'SynFoC, LiteMedSAM': 'labels only, LiteMedSAM',
        'SynFoC, U-Net': 'labels only, U-Net',
    }
    main, data = 'synfoc', 'phantom'
    unit, last, where = 'DSC in %', 'mean of the unlabelled', 'on the unlabelled domains'
    further = 'bash tools/dist_train.sh configs/synfoc/prostate.py 4'
    trials = runs
    # Two validations, the test and its pictures, measured in iterations of the same network.
    evaluations = 20.0

    def make_data(self, steps: Steps, folder: Path) -> None:
        """Write the phantom."""
        steps.run(
            'make the phantom',
            'phantom.log',
            'tools/dataset_converters/make_phantom.py',
            str(folder / self.data),
            '--size',
            '64',
        )

    def costs(self, measured: dict[str, Cost], iters: int) -> dict[str, Cost]:
        """Return what the trainings of a seed cost, from the trials."""
        return {
            name: Cost(iters, cost.seconds, 2 * cost.around, self.evaluations)
            for name, cost in measured.items()
        }

    def before(self, steps: Steps, folder: Path, seed: int, plan: Plan) -> None:
        """Do what a seed needs before its runs: nothing."""

    def options(self, folder: Path, method: str, seed: int) -> list[str]:
        """Return the config options of a run."""
        return []

    def scores(self, student: dict) -> tuple[dict[str, float], float]:
        """Return the DSC of each scanner, and the mean over those without labels."""
        scores = {name: scores['mean']['DSC'] for name, scores in student['domains'].items()}
        unlabelled = [value for name, value in scores.items() if name != 'ScannerA']
        shown = {f'{n} (labelled)' if n == 'ScannerA' else n: v for n, v in scores.items()}
        return shown, statistics.fmean(unlabelled)

    def pictures(self, folder: Path, work: Path) -> dict[str, Path]:
        """Return name to path of pictures that the main run left."""
        overlays = sorted((work / 'overlays').glob('*.png'))
        found = {'alpha_curve': work / 'ensemble_curves.png'}
        for path in reversed(overlays):
            found[f'overlay_{path.name.split("_")[0]}'] = path
        return found


class VolumesJob(SynFoCJob):
    """BCP and the labels-only V-Net on whole volumes of a scanner, patch by patch."""

    folder, iters = 'work_dirs/quickstart_volumes', 800
    runs = {
        'bcp': 'configs/bcp/lite_phantom_mri.py',
        'sup_only': 'configs/sup_only/lite_phantom_mri.py',
    }
    rows = {'BCP, V-Net': ('bcp', 'vnet'), 'labels only, V-Net': ('sup_only', 'vnet')}
    controls = {'BCP, V-Net': 'labels only, V-Net'}
    main, data = 'bcp', 'phantom_mri'
    trials = {'sup_only': runs['sup_only']}
    layout, size = 'nifti', 32
    unit, last, where = 'Dice per volume, %', 'mean', 'in mean Dice per volume'
    # After the pre-training a teacher looks at unlabelled volumes too; a trial shows none of it.
    bcp_of_sup_only = 2.0
    further = (
        'python tools/train.py configs/sup_only/left_atrium.py\n'
        '  bash tools/dist_train.sh configs/bcp/left_atrium.py 4'
    )

    def make_data(self, steps: Steps, folder: Path) -> None:
        """Write the phantom's volumes."""
        steps.run(
            'make the phantom',
            'phantom.log',
            'tools/dataset_converters/make_phantom.py',
            str(folder / self.data),
            '--layout',
            self.layout,
            '--size',
            str(self.size),
        )

    def costs(self, measured: dict[str, Cost], iters: int) -> dict[str, Cost]:
        """Return what the trainings of a seed cost, BCP's from the control's."""
        control = measured['sup_only']
        bcp = Cost(iters, self.bcp_of_sup_only * control.seconds, 2 * control.around)
        return {**super().costs(measured, iters), 'bcp': bcp}

    def scores(self, student: dict) -> tuple[dict[str, float], float]:
        """Return the Dice of each structure, and their mean."""
        shown = {name: scores['DSC'] for name, scores in student['parts'].items()}
        return shown, student['mean']['DSC']

    def pictures(self, folder: Path, work: Path) -> dict[str, Path]:
        """Return name to path of pictures that the main run left: three planes of each volume."""
        overlays = sorted((work / 'overlays').glob('*.png'))
        return {f'planes_{i}': path for i, path in enumerate(overlays[:4])}


class MCSDJob(VolumesJob):
    """MCSD, its diffusion model included, and the labels-only U-Net on volumes of a scanner."""

    folder, iters = 'work_dirs/quickstart_mcsd', 500
    layout, size = 'volumes', 64
    runs = {
        'mcsd': 'configs/mcsd/lite_phantom.py',
        'sup_only': 'configs/sup_only/lite_phantom_volumes.py',
    }
    rows = {'MCSD, U-Net': ('mcsd', 'unet'), 'labels only, U-Net': ('sup_only', 'unet')}
    controls = {'MCSD, U-Net': 'labels only, U-Net'}
    main, data = 'mcsd', 'phantom_volumes'
    trials = {'ddpm': 'configs/mcsd/ddpm_lite_phantom.py', 'sup_only': runs['sup_only']}
    ddpm_iters = 150
    # An iteration of MCSD has two networks and three views of twice as many images; it cannot be
    # tried before the diffusion model is there.
    mcsd_of_sup_only = 5.0
    further = (
        'python tools/train.py configs/mcsd/ddpm_acdc.py\n'
        '  bash tools/dist_train.sh configs/mcsd/acdc.py 4'
    )

    def costs(self, measured: dict[str, Cost], iters: int) -> dict[str, Cost]:
        """Return what the trainings of a seed cost, MCSD's from the control's."""
        ddpm, control = measured['ddpm'], measured['sup_only']
        mcsd = Cost(iters, self.mcsd_of_sup_only * control.seconds, 2 * control.around)
        return {
            # The samples that are drawn, and the features of the training slices.
            'ddpm': Cost(self.ddpm_iters, ddpm.seconds, 2 * ddpm.around, 30.0),
            **SynFoCJob.costs(self, {'sup_only': control}, iters),
            'mcsd': mcsd,
        }

    def before(self, steps: Steps, folder: Path, seed: int, plan: Plan) -> None:
        """Train the diffusion model and keep its features of the training slices."""
        work = folder / f'seed{seed}' / 'ddpm'
        data = text_option('train_dataloader.dataset.data_root', folder / self.data)
        if not (work / 'done').exists():
            iters = plan.iterations['ddpm']
            steps.train(
                f'the diffusion model, seed {seed}',
                f'ddpm_{seed}_train.log',
                self.trials['ddpm'],
                work,
                [data, f'randomness.seed={seed}', f'train_cfg.max_iters={iters}'],
            )
            (work / 'done').touch()
        steps.run(
            f'extract its features, seed {seed}',
            f'features_{seed}.log',
            'tools/extract_diffusion_features.py',
            self.runs['mcsd'],
            '--amp',
            '--out',
            str(folder / f'seed{seed}' / 'features'),
            '--cfg-options',
            data,
            *self.options(folder, 'mcsd', seed),
        )

    def options(self, folder: Path, method: str, seed: int) -> list[str]:
        """Return where the diffusion model and its features are."""
        if method != 'mcsd':
            return []
        work = folder / f'seed{seed}'
        features = work / 'features'
        return [
            text_option('model.neck.model', work / 'ddpm' / 'unet'),
            text_option('model.neck.cache_dir', features),
            text_option('train_dataloader.dataset.head.0.cache_dir', features),
        ]

    def pictures(self, folder: Path, work: Path) -> dict[str, Path]:
        """Return name to path of pictures that the main run left."""
        samples = sorted((work.parent / 'ddpm' / 'samples').glob('*.png'))
        overlays = sorted((work / 'overlays').glob('*.png'))
        found = {f'overlay_{i}': path for i, path in enumerate(overlays[:4])}
        return {**found, 'diffusion_samples': samples[-1]} if samples else found
