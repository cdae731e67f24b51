# ruff: noqa: E501 (a case is a line)
"""Objects of popular packages as variables of a script: results of tasks that use them are kept.

    python -m tests.faults.objects [NAME ...]

Each script is run twice with other hash seeds, in a folder of its own, with its task in a kept
process. The task has to run once, and to have the same id both times. Packages that are not
installed in this environment are named at the end. `TOLD` are those of which bandsaw has to say
why: they hold other things in each process, change themselves, or say nothing of what they hold.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = bandsaw.Configuration()
configuration.add_advice_chain(CachingAdvice("cache"), SubprocessAdvice(workers=1))
"""
SCRIPT = """
import bandsaw
{statements}
@bandsaw.task
def task():
    open("ran", "a").write("x")
    return {expression}

if __name__ == "__main__":
    task()
    print(task.bandsaw_task.task_id)
"""
# The statements that make the objects, and what the task asks of them.
CASES = {
    "altair": ("import altair as alt\nc=alt.Chart().mark_bar()\n", "c.mark"),
    "astropy": (
        "import astropy.units as u\nq=3*u.m\nfrom astropy.cosmology import Planck18\n",
        "str(q.to('cm'))+str(Planck18.H0)",
    ),
    "attrs": (
        "import attrs\n@attrs.define\nclass A:\n    x: int=attrs.field(default=1,validator=attrs.validators.instance_of(int))\na=A(3)\n",
        "a.x",
    ),
    "beartype": (
        "from beartype import beartype\n@beartype\ndef h(x: int)->int: return x+1\n",
        "h(1)",
    ),
    "bio": (
        "from Bio.Seq import Seq\nq=Seq('ACGT')\nfrom Bio import Align\nal=Align.PairwiseAligner()\n",
        "str(q.complement())+str(al.score('A','A'))",
    ),
    "bokeh": ("from bokeh.plotting import figure\np=figure()\n", "p.width or 1"),
    "boto3": (
        "import boto3\ns3=boto3.client('s3',region_name='us-east-1',aws_access_key_id='a',aws_secret_access_key='b')\n",
        "s3.meta.region_name",
    ),
    "boto3r": (
        "import boto3\ns3=boto3.resource('s3',region_name='us-east-1',aws_access_key_id='a',aws_secret_access_key='b')\n",
        "s3.meta.service_name",
    ),
    "bs4": (
        "from bs4 import BeautifulSoup\ns=BeautifulSoup('<a>x</a>','html.parser')\n",
        "s.a.text",
    ),
    "cachetools": (
        "import cachetools\n@cachetools.cached(cachetools.LRUCache(10))\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "cachetools_ttl": (
        "import cachetools\ncache=cachetools.TTLCache(10,60)\n@cachetools.cached(cache)\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "cattrs": (
        "import cattrs,attrs\n@attrs.define\nclass A:\n    x:int\nconv=cattrs.Converter()\n",
        "conv.structure({'x':1},A).x",
    ),
    "click": (
        "import click\n@click.command()\n@click.option('--n',default=1)\ndef cli(n): pass\n",
        "cli.name",
    ),
    "cv2": ("import cv2\nclahe=cv2.createCLAHE()\n", "clahe.getClipLimit()"),
    "cvxpy": (
        "import cvxpy as cp\nx=cp.Variable()\np=cp.Problem(cp.Minimize(x**2))\n",
        "len(p.variables())",
    ),
    "daskdelayed": ("import dask\n@dask.delayed\ndef h(x): return x+1\ny=h(1)\n", "y.compute()"),
    "daskdf": ("import dask.array as da\nx=da.ones((4,),chunks=2)\n", "float(x.sum().compute())"),
    "decorator": (
        "from decorator import decorator\n@decorator\ndef d(f,*a,**k): return f(*a,**k)\n@d\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "diskcache": ("import diskcache\nc=diskcache.Cache('dc')\n", "c.get('a',1)"),
    "django": (
        "import django\nfrom django.conf import settings\nsettings.configure(DEBUG=True)\nfrom django.template import Engine,Template\n",
        "settings.DEBUG",
    ),
    "dotenv": (
        "from dotenv import load_dotenv,dotenv_values\nload_dotenv()\ncfg=dotenv_values()\n",
        "len(cfg)",
    ),
    "duckcon": ("import duckdb\ncon=duckdb.connect()\n", "con.sql('select 1').fetchall()[0][0]"),
    "dyna": (
        "from dynaconf import Dynaconf\ns=Dynaconf(settings_files=['s.toml'])\n",
        "s.get('A',1)",
    ),
    "fastapi": (
        "from fastapi import FastAPI\napp=FastAPI()\n@app.get('/')\ndef index(q: int=1): return q\n",
        "len(app.routes)",
    ),
    "flask": (
        "from flask import Flask\napp=Flask(__name__)\n@app.route('/')\ndef index(): return 'x'\n",
        "app.name and index()",
    ),
    "fsspec": ("import fsspec\nfs=fsspec.filesystem('file')\n", "bool(fs.protocol)"),
    "gensim": ("from gensim.corpora import Dictionary\nd=Dictionary([['a','b']])\n", "len(d)"),
    "gpd": (
        "import geopandas as gpd,shapely\ng=gpd.GeoDataFrame({'a':[1]},geometry=[shapely.Point(1,2)])\n",
        "len(g)",
    ),
    "gym": ("import gymnasium as gym\nE=gym.make('CartPole-v1')\n", "E.spec.id"),
    "httpx": ("import httpx\nc=httpx.Client()\n", "str(c.base_url)"),
    "hydra": (
        "import hydra\nfrom omegaconf import DictConfig\n@hydra.main(version_base=None)\ndef main(cfg: DictConfig): pass\n",
        "bool(main)",
    ),
    "imb": ("from imblearn.over_sampling import SMOTE\ns=SMOTE()\n", "s.k_neighbors"),
    "interp": (
        "from scipy.interpolate import interp1d\nimport numpy as np\nf=interp1d(np.arange(3),np.arange(3)*2)\n",
        "float(f(1.5))",
    ),
    "jax": (
        "import jax,jax.numpy as jnp\n@jax.jit\ndef h(x): return x+1\nK=jax.random.PRNGKey(0)\n",
        "int(h(1))+len(K)",
    ),
    "jinja": (
        "import jinja2\nenv=jinja2.Environment()\nT=env.from_string('a {{x}}')\n",
        "T.render(x=1)",
    ),
    "jinja_file": (
        "import jinja2\nenv=jinja2.Environment(loader=jinja2.FileSystemLoader('.'))\n",
        "env.get_template('t.txt').render(x=1)",
    ),
    "joblib": (
        "import joblib\nmem=joblib.Memory('jl',verbose=0)\n@mem.cache\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "kde": (
        "from scipy import stats,optimize,sparse\nimport numpy as np\nkk=stats.gaussian_kde(np.arange(5.))\nmm=sparse.csr_matrix(np.eye(3))\nb=optimize.Bounds(0,1)\n",
        "float(kk(1.0)[0])>0 and mm.nnz",
    ),
    "lark": ("import lark\np=lark.Lark('start: \"a\"+')\n", "str(p.parse('aa'))"),
    "lgb": ("import lightgbm as lgb\nm=lgb.LGBMClassifier(n_estimators=3)\n", "m.n_estimators"),
    "lmfit": (
        "import lmfit\np=lmfit.Parameters()\np.add('a',value=1)\ndef g(x,a): return a*x\nm=lmfit.Model(g)\n",
        "p['a'].value+len(m.param_names)",
    ),
    "loguru": (
        "from loguru import logger\nlogger.remove()\nlogger.add('x.log')\n",
        "logger.info('x')",
    ),
    "lxml": (
        "from lxml import etree\nx=etree.XPath('//a')\ndoc=etree.fromstring('<r><a/></r>')\n",
        "len(x(doc))",
    ),
    "marsh": (
        "from marshmallow import Schema,fields\nclass S(Schema):\n    x=fields.Int()\ns=S()\n",
        "s.load({'x':'3'})['x']",
    ),
    "mpl": (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.rcParams['font.size']=9\ncmap=plt.get_cmap('viridis')\n",
        "cmap.name",
    ),
    "mplfig": (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nfig,ax=plt.subplots()\n",
        "ax.get_title()",
    ),
    "msgspec": (
        "import msgspec\nclass P(msgspec.Struct):\n    a: int\ndec=msgspec.json.Decoder(P)\n",
        "dec.decode(b'{\"a\":1}').a",
    ),
    "nppoly": (
        "import numpy as np\np=np.poly1d([1,2])\nv=np.vectorize(lambda x:x+1)\nuf=np.frompyfunc(lambda a:a+1,1,1)\nd=np.dtype([('a','i4')])\nm=np.ma.masked_array([1,2],[0,1])\n",
        "float(p(1))+int(v(1))+uf(1)",
    ),
    "nprng": ("import numpy as np\nrng=np.random.default_rng(0)\n", "float(rng.random())>0"),
    "numba": ("import numba\n@numba.njit\ndef h(x): return x+1\n", "h(1)"),
    "numba_vec": (
        "import numba,numpy as np\n@numba.vectorize\ndef h(x): return x+1\n",
        "float(h(1.0))",
    ),
    "nx": ("import networkx as nx\nG=nx.path_graph(4)\n", "nx.shortest_path_length(G,0,3)"),
    "omega": ("from omegaconf import OmegaConf\ncfg=OmegaConf.create({'a':{'b':1}})\n", "cfg.a.b"),
    "openai": ("import openai\nc=openai.OpenAI(api_key='x')\n", "c.api_key"),
    "openpyxl": ("import openpyxl\nwb=openpyxl.Workbook()\n", "len(wb.sheetnames)"),
    "optuna": (
        "import optuna\noptuna.logging.set_verbosity(optuna.logging.WARNING)\ndef obj(t): return t.suggest_float('x',0,1)\n",
        "optuna.create_study().best_trials==[]",
    ),
    "pa": (
        "import pyarrow as pa\ntab=pa.table({'a':[1,2]})\nsch=pa.schema([('a',pa.int64())])\n",
        "tab.num_rows+len(sch)",
    ),
    "pandera": (
        "import pandera.pandas as pa,pandas as pd\nS=pa.DataFrameSchema({'a':pa.Column(int,pa.Check.ge(0))})\nclass M(pa.DataFrameModel):\n    a: int\n",
        "len(S.validate(pd.DataFrame({'a':[1]})))+len(M.validate(pd.DataFrame({'a':[1]})))",
    ),
    "patsy": (
        "import patsy,pandas as pd\ndef double(x): return 2*x\nm=patsy.dmatrix('double(x)',pd.DataFrame({'x':[1,2]}))\ninfo=m.design_info\n",
        "info.column_names[1]",
    ),
    "pd": (
        "import pandas as pd\ndf=pd.DataFrame({'a':[1,2],'b':['x','y']})\ns=df.groupby('b')\n",
        "int(df.a.sum())+len(s)",
    ),
    "pdoffs": (
        "import pandas as pd\no=pd.offsets.BDay(2)\nc=pd.CategoricalDtype(['a','b'])\nT=pd.Timestamp('2020-01-01',tz='UTC')\nI=pd.MultiIndex.from_product([[1,2],['a','b']])\n",
        "str(T+o)+str(len(I))",
    ),
    "peewee": (
        "import peewee\ndb=peewee.SqliteDatabase(':memory:')\nclass U(peewee.Model):\n    n=peewee.CharField()\n    class Meta:\n        database=db\n",
        "U._meta.table_name",
    ),
    "pil": ("from PIL import Image\nim=Image.new('RGB',(2,2))\n", "im.size[0]"),
    "pint": ("import pint\nu=pint.UnitRegistry()\nq=3*u.meter\n", "str(q.to('cm'))"),
    "pl": (
        "import polars as pl\ndf=pl.DataFrame({'a':[1,2]})\nlf=df.lazy()\nex=pl.col('a')*2\n",
        "df.select(ex).sum().item()",
    ),
    "plotly": (
        "import plotly.graph_objects as go\nf=go.Figure()\nL=go.Layout(title='x')\n",
        "len(f.data)",
    ),
    "prophet": ("from prophet import Prophet\nm=Prophet()\n", "m.growth"),
    "pulp": (
        "import pulp\np=pulp.LpProblem('a',pulp.LpMaximize)\nx=pulp.LpVariable('x',0,3)\np+=x\n",
        "len(p.variables())",
    ),
    "pyd": (
        "import pydantic\nclass M(pydantic.BaseModel):\n    a: int=1\nclass N(pydantic.BaseModel):\n    m: M = M()\n    @pydantic.field_validator('m')\n    @classmethod\n    def v(cls, x): return x\nTA=pydantic.TypeAdapter(list[N])\n",
        "TA.validate_python([{'m':{'a':'3'}}])[0].m.a",
    ),
    "pyd_dc": (
        "import pydantic.dataclasses\n@pydantic.dataclasses.dataclass\nclass M:\n    a: int=1\n",
        "M('3').a",
    ),
    "pyparsing": ("import pyparsing as pp\ng=pp.Word(pp.nums)('n')\n", "g.parse_string('12')['n']"),
    "pytz": (
        "import pytz,dateutil.tz,zoneinfo\na=pytz.timezone('Europe/Berlin');b=dateutil.tz.gettz('Europe/Berlin');c=zoneinfo.ZoneInfo('Europe/Berlin')\n",
        "str(a)+str(c)+str(bool(b))",
    ),
    "redis": ("import redis\nr=redis.Redis()\n", "r.connection_pool.max_connections>0"),
    "requests": ("import requests\ns=requests.Session()\ns.headers['a']='b'\n", "s.headers['a']"),
    "rich": ("from rich.console import Console\ncon=Console()\n", "con.width>0"),
    "s3fs": ("import s3fs\nfs=s3fs.S3FileSystem(key='a',secret='b')\n", "bool(fs.protocol)"),
    "settings": (
        "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    a: int=1\ns=S()\n",
        "s.a",
    ),
    "shapely": ("import shapely\np=shapely.Point(1,2)\nb=shapely.box(0,0,1,1)\n", "p.x+b.area"),
    "simpy": ("import simpy\nenv=simpy.Environment()\n", "env.now"),
    "sk": (
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.linear_model import LogisticRegression\np=make_pipeline(StandardScaler(),LogisticRegression())\n",
        "len(p.steps)",
    ),
    "sk_fit": (
        "from sklearn.linear_model import LinearRegression\nimport numpy as np\nm=LinearRegression().fit(np.arange(6).reshape(3,2),[1,2,3])\n",
        "float(m.predict([[1,2]])[0])",
    ),
    "sk_rf": (
        "from sklearn.ensemble import RandomForestClassifier\nimport numpy as np\nm=RandomForestClassifier(5,random_state=0).fit(np.arange(20).reshape(10,2),[0,1]*5)\n",
        "int(m.predict([[1,2]])[0])",
    ),
    "skcv": (
        "from sklearn.model_selection import KFold,GridSearchCV\nfrom sklearn.svm import SVC\nfrom sklearn.metrics import make_scorer,f1_score\ncv=KFold(3,shuffle=True,random_state=1)\ng=GridSearchCV(SVC(),{'C':[1]},cv=cv,scoring=make_scorer(f1_score))\n",
        "cv.get_n_splits()",
    ),
    "skft": (
        "from sklearn.preprocessing import FunctionTransformer\nfrom sklearn.compose import ColumnTransformer\nimport numpy as np\ndef own(x): return x*2\nf=FunctionTransformer(own)\nct=ColumnTransformer([('a',f,[0])])\n",
        "float(ct.fit_transform(np.ones((2,1)))[0,0])",
    ),
    "skimage": (
        "from skimage import transform\ntr=transform.AffineTransform()\n",
        "tr.params[0,0]",
    ),
    "sktime": (
        "from sktime.forecasting.naive import NaiveForecaster\nf=NaiveForecaster()\n",
        "f.strategy",
    ),
    "sm": (
        "import statsmodels.formula.api as smf,pandas as pd\ndf=pd.DataFrame({'x':[1,2,3,4.],'y':[1,3,2,5.]})\nm=smf.ols('y~x',df)\n",
        "round(float(m.fit().params['x']),3)",
    ),
    "sns": ("import seaborn as sns\npal=sns.color_palette('deep')\n", "len(pal)"),
    "sortedc": ("from sortedcontainers import SortedDict\nd=SortedDict(b=1,a=2)\n", "list(d)[0]"),
    "sqla": (
        "from sqlalchemy import *\nfrom sqlalchemy.orm import declarative_base,sessionmaker\nB=declarative_base()\nclass U(B):\n    __tablename__='u'\n    id=Column(Integer,primary_key=True)\n    name=Column(String)\nengine=create_engine('sqlite://')\nS=sessionmaker(engine)\n",
        "(B.metadata.create_all(engine), S().query(U).count())[1]",
    ),
    "sqla2": (
        "from sqlalchemy import *\nfrom sqlalchemy.orm import DeclarativeBase,Mapped,mapped_column\nclass B(DeclarativeBase): pass\nclass U(B):\n    __tablename__='u'\n    id: Mapped[int]=mapped_column(primary_key=True)\n",
        "str(select(U))",
    ),
    "stats": ("from scipy import stats\nn=stats.norm(0,1)\n", "float(n.cdf(0))"),
    "structlog": ("import structlog\nlog=structlog.get_logger(__name__)\n", "bool(log)"),
    "sympy": (
        "import sympy\nx=sympy.symbols('x')\ne=x**2+1\nf=sympy.lambdify(x,e)\n",
        "str(e.diff(x))+str(f(2))",
    ),
    "tenacity": (
        "import tenacity\n@tenacity.retry(stop=tenacity.stop_after_attempt(2))\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "tfidf": (
        "from sklearn.feature_extraction.text import TfidfVectorizer,CountVectorizer\nv=CountVectorizer().fit(['a b c dd','ee dd'])\nw=TfidfVectorizer().fit(['aa bb','bb cc'])\n",
        "len(v.vocabulary_)+len(w.vocabulary_)",
    ),
    "tok": (
        "from tokenizers import Tokenizer,models\nt0=Tokenizer(models.BPE())\n",
        "t0.get_vocab_size()",
    ),
    "toolz": (
        "import toolz\nf=toolz.compose(str,abs)\ng=toolz.curry(lambda a,b:a+b)(1)\n",
        "f(-1)+str(g(2))",
    ),
    "typeguard": (
        "from typeguard import typechecked\n@typechecked\ndef h(x: int)->int: return x+1\n",
        "h(1)",
    ),
    "typer": (
        "import typer\napp=typer.Typer()\n@app.command()\ndef cli(n:int=1): pass\n",
        "len(app.registered_commands)",
    ),
    "unc": ("from uncertainties import ufloat\nx=ufloat(1,0.1)\n", "str(x*2)"),
    "wrapt": (
        "import wrapt\n@wrapt.decorator\ndef d(w,i,a,k): return w(*a,**k)\n@d\ndef h(x): return x+1\n",
        "h(1)",
    ),
    "xgb": ("import xgboost as xgb\nm=xgb.XGBClassifier(n_estimators=3)\n", "m.n_estimators"),
    "xr": (
        "import xarray as xr,numpy as np\nd=xr.DataArray(np.arange(4),dims='x')\n",
        "int(d.sum())",
    ),
    "yaml": ("import yaml\ncfg=yaml.safe_load('a: 1')\n", "cfg['a']"),
    "zarr": ("import zarr\nz=zarr.zeros((2,2))\n", "z.shape[0]"),
}
TOLD = {
    "boto3",
    "boto3r",
    "cv2",
    "daskdelayed",
    "duckcon",
    "gensim",
    "httpx",
    "jax",
    "joblib",
    "lxml",
    "marsh",
    "mplfig",
    "msgspec",
    "nprng",
    "openai",
    "openpyxl",
    "patsy",
    "peewee",
    "pulp",
    "redis",
    "rich",
    "wrapt",
}


def tried(name: str) -> str:
    """Returns what is wrong, an empty text if nothing is."""
    statements, expression = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file, text in {
            "bandsaw_config.py": CONFIGURATION,
            "flow.py": SCRIPT.format(statements=statements, expression=expression),
            "t.txt": "a {{x}}",
            "s.toml": "A = 1",
        }.items():
            (folder / file).write_text(text, encoding="utf-8")
        runs = [
            subprocess.run(
                [sys.executable, "flow.py"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)},
                capture_output=True,
                text=True,
                timeout=600,
            )
            for seed in (1, 2)
        ]
        for run in runs:
            if run.returncode:
                return run.stderr.strip().splitlines()[-1]
        times = len((folder / "ran").read_text())
        ids = len({run.stdout.split()[-1] for run in runs})
        said = "IdentityWarning" in runs[0].stderr + runs[1].stderr
        if times == ids == 1 and not said:
            return ""
        if name in TOLD and said:
            return ""
        return f"ran {times} times, {ids} ids, {'with' if said else 'WITHOUT'} a warning"


def main(names: list[str]) -> int:
    unknown = set(names) - set(CASES)
    if unknown:
        raise SystemExit(f"There is no {', '.join(unknown)}. There are: {', '.join(CASES)}.")
    wrong = 0
    missing = []
    for name in names or CASES:
        needed = re.findall(r"^(?:import|from) (\w+)", CASES[name][0], re.MULTILINE)
        if not all(importlib.util.find_spec(each) for each in needed):
            missing.append(name)
            continue
        fault = tried(name)
        wrong += bool(fault)
        print(f"{name}: {fault or 'right'}", flush=True)
    print(f"{wrong} wrong; not installed: {', '.join(missing) or 'none'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
