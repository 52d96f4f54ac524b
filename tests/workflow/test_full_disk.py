"""Full disks: one sentence, nothing half-written, and the same command ends when there is room."""

import subprocess

import pytest

TEACHER = "models/demo/teacher/phantom/teacher-mbcsa-s2/nall/seed0"
# What runs into the full disk, and the room that it has at first, in KiB. `DISK` is the small disk.
COMMANDS = {
    "preparation": ("hdkd prepare --dataset phantom --output DISK/prepared", 40),
    "training": (
        f"hdkd train --dataset phantom --role hdkd --subset 16 --teacher {TEACHER} "
        "--threads 1 --no-tracking --output DISK/run",
        60,
    ),
    "tables": ("hdkd tables --output DISK/tables", 16),
    "figures": ("hdkd figures --dataset phantom --output DISK/figures", 64),
    "ledger": ("hdkd compare --output DISK", 24),
}


@pytest.fixture(scope="module")
def small_disks():
    """File systems of a given size need a mount, in a name space of one's own."""
    allowed = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
    )
    if allowed.returncode:
        pytest.skip(f"no file system may be mounted here: {allowed.stderr.decode().strip()}")


@pytest.mark.parametrize("step", COMMANDS)
def test_a_full_disk_is_told_in_a_sentence_and_the_same_command_ends_later(
    built, small_disks, tmp_path, step
):
    command, room = COMMANDS[step]
    script = f"""
        mount -t tmpfs -o size={room}k tmpfs {tmp_path}
        {command.replace("DISK", str(tmp_path))} > /dev/null; echo "first $?"
        find {tmp_path} -name '*.partial'
        mount -o remount,size=64m {tmp_path}
        {command.replace("DISK", str(tmp_path))} > /dev/null; echo "second $?"
    """
    result = built.run("unshare", "--map-root-user", "--mount", "bash", "-c", script)
    assert result.stdout.split() == ["first", "2", "second", "0"]
    sentences = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    assert "there is no room left" in sentences[0]
    assert "make room and start again" in sentences[0]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "prepare --dataset phantom",
        "tables",
        "train --dataset phantom --role student --no-tracking",
    ],
)
def test_a_folder_that_may_not_be_written_is_named(built, small_disks, tmp_path, command):
    script = f"""
        mount -t tmpfs -o ro tmpfs {tmp_path}
        hdkd {command} --output {tmp_path}/out > /dev/null; echo "$?"
    """
    result = built.run("unshare", "--map-root-user", "--mount", "bash", "-c", script)
    assert result.stdout.split() == ["2"]
    assert result.stderr.splitlines()[-1] == (
        f"error: no permission at {tmp_path}/out (Read-only file system): change it, or name "
        "another folder"
    )
