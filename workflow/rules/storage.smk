# Where the machines share no folder (Kubernetes), files lie in a store, and a job has only what it declares.
import functools

from snakemake.settings.types import SharedFSUsage


STORED = workflow.storage_settings.default_storage_provider is not None
# Commands look for these by their places in the project's folder.
STORED_PLACES = [
    "data/raw",
    f"data/prepared/{PROFILE}",
    f"models/{PROFILE}",
    REPORT,
    *(path.as_posix() for path in plan.LEDGER),
]
# What reads images compares these with their checksums, too.
CHECKED = [f"{PREPARED}/{name}" for name in ("facts.json", "index.csv", "split.json", "SHA256SUMS")]
# The files of a dataset are one file in the store.
PACK = (
    "tar --create --file {output.files:q} --directory {params.folder:q}"
    " --sort name --mtime @0 --owner 0 --group 0 --numeric-owner files"
)
UNPACK = "tar --extract --file {input.files:q} --directory $(dirname {input.manifest:q})"


def link_stored():
    """In a folder of this job's own: lead each place to the local copies of what is stored."""
    prefix = workflow.storage_settings.default_storage_prefix
    provider = workflow.storage_registry.default_storage_provider
    for name in STORED_PLACES:
        place = Path(name)
        if place.is_symlink():
            continue
        copies = provider.object(f"{prefix}/{name}").local_path().absolute()
        (copies.parent if place.suffix else copies).mkdir(parents=True, exist_ok=True)
        if place.exists():  # git has results of this profile
            place.rename(place.with_name(f"{place.name}.committed"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(copies)


if STORED and workflow.remote_exec and SharedFSUsage.SOURCES not in workflow.storage_settings.shared_fs_usage:
    link_stored()


def stored(needed):
    """What only jobs without a shared folder need."""
    return needed if STORED else []


@functools.cache
def code_of(step, method=""):
    """The code of a step, as the input of its rule.

    In a store that is a file named by the content: files of a clone are newer than all that is stored.
    """
    files = code.inputs(step, method)
    if not STORED:
        return files
    content = "".join(f"{sha256(Path(file))}  {Path(file).name}\n" for file in files)
    return [f"code/{step}-{hashlib.sha256(content.encode()).hexdigest()[:12]}.txt"]


def stamps():
    """The code of all steps, as inputs of groups of targets: Snakemake would not look for them deeper in the graph."""
    if not STORED:
        return []
    methods = {run.method for dataset in DATASETS for run in plan.all_runs(SETTINGS, dataset)}
    steps = [(step,) for step in code.STEP_CODE if step != "train"]
    return [file for step in [*steps, *(("train", method) for method in sorted(methods))] for file in code_of(*step)]
