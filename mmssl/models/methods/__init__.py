"""One file for every published method."""

from mmssl.models.methods.abd.abd import ABDBCP, ABDCrossTeaching
from mmssl.models.methods.bcmda.bcmda import BCMDA
from mmssl.models.methods.bcmda.prototype_head import PrototypeHead
from mmssl.models.methods.bcp.bcp import BCP
from mmssl.models.methods.caussl.caussl import CPSCauSSL, MCCauSSL
from mmssl.models.methods.cpc_sam import CPCSAM
from mmssl.models.methods.cps import CPS
from mmssl.models.methods.cross_teaching import CrossTeaching
from mmssl.models.methods.crossmatch import CrossMatch
from mmssl.models.methods.ddpm import DDPM
from mmssl.models.methods.dtc import DTC
from mmssl.models.methods.fixmatch import FixMatch, FixMatchSSL4MIS
from mmssl.models.methods.h_sam import HSAM
from mmssl.models.methods.know_sam.know_sam import KnowSAM
from mmssl.models.methods.mc_net import MCNet
from mmssl.models.methods.mcsd import MCSD, FeatureDistillation
from mmssl.models.methods.mean_teacher import MeanTeacher
from mmssl.models.methods.samed import SAMed
from mmssl.models.methods.sass_net.sass_net import SASSNet
from mmssl.models.methods.sc_sam import SCSAM
from mmssl.models.methods.sc_ssl import SCSSL
from mmssl.models.methods.semi_sam.semi_sam import SemiSAM
from mmssl.models.methods.ss_net.ss_net import SSNet
from mmssl.models.methods.sup_only import SupOnly
from mmssl.models.methods.symgd import SymGD
from mmssl.models.methods.synfoc import SynFoC
from mmssl.models.methods.ua_mt import UAMT
from mmssl.models.methods.unimatch import UniMatch
from mmssl.models.methods.unimatch_v2 import UniMatchV2
from mmssl.models.methods.urpc import URPC
from mmssl.models.methods.ust_run import USTRUN
from mmssl.models.methods.zero_shot_sam import ZeroShotSAM

__all__ = [
    'ABDBCP',
    'ABDCrossTeaching',
    'BCMDA',
    'BCP',
    'CPCSAM',
    'CPS',
    'CPSCauSSL',
    'CrossMatch',
    'CrossTeaching',
    'DDPM',
    'DTC',
    'FeatureDistillation',
    'FixMatch',
    'FixMatchSSL4MIS',
    'HSAM',
    'KnowSAM',
    'MCCauSSL',
    'MCNet',
    'MCSD',
    'MeanTeacher',
    'PrototypeHead',
    'SAMed',
    'SASSNet',
    'SCSAM',
    'SCSSL',
    'SSNet',
    'SemiSAM',
    'SupOnly',
    'SymGD',
    'SynFoC',
    'UAMT',
    'URPC',
    'USTRUN',
    'UniMatch',
    'UniMatchV2',
    'ZeroShotSAM',
]
