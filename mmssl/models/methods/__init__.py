"""One file for every published method."""

from .abd import ABDBCP, ABDCrossTeaching
from .bcp import BCP
from .caussl import CPSCauSSL, MCCauSSL
from .cpc_sam import CPCSAM
from .cps import CPS
from .cross_teaching import CrossTeaching
from .ddpm import DDPM
from .fixmatch import FixMatch
from .h_sam import HSAM
from .mc_net import MCNet
from .mcsd import MCSD
from .mean_teacher import MeanTeacher
from .samed import SAMed
from .sc_ssl import SCSSL
from .semi_sam import SemiSAM
from .ss_net import SSNet
from .sup_only import SupOnly
from .symgd import SymGD
from .synfoc import SynFoC
from .ua_mt import UAMT
from .unimatch import UniMatch
from .urpc import URPC
from .zero_shot_sam import ZeroShotSAM

__all__ = [
    'ABDBCP',
    'ABDCrossTeaching',
    'BCP',
    'CPCSAM',
    'CPS',
    'CPSCauSSL',
    'CrossTeaching',
    'DDPM',
    'FixMatch',
    'HSAM',
    'MCCauSSL',
    'MCNet',
    'MCSD',
    'MeanTeacher',
    'SAMed',
    'SCSSL',
    'SSNet',
    'SemiSAM',
    'SupOnly',
    'SymGD',
    'SynFoC',
    'UAMT',
    'URPC',
    'UniMatch',
    'ZeroShotSAM',
]
