"""Every path that a shell allows, killed runs, two runs, full disks."""

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.output_files import beside, hold_output, new_folder, put_in_place, write_jsonl, write_text


def make(path, text="1", overwrite=False, write=lambda folder: None):
    """Make a folder as commands do."""
    with new_folder(Path(path), "done.json", overwrite) as folder:
        write(folder)
        write_text(folder / "done.json", text)
        write_text(folder / "runs" / "a.run", text)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE = ["done.json", "runs", "runs/a.run"]


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("out", "out"),
        ("out/", "out"),
        ("./a/../b/out", "b/out"),
        ("with space/ö ü/out", "with space/ö ü/out"),
        ("--out", "--out"),
        ("[ab]*?", "[ab]*?"),
        ("x" * 255, "x" * 255),
        ("ü" * 127, "ü" * 127),
        (os.fsdecode(b"\xff\xfe"), os.fsdecode(b"\xff\xfe")),
    ],
)
def test_paths_that_a_shell_allows(tmp_path, monkeypatch, path, made):
    monkeypatch.chdir(tmp_path)
    for text in "12":
        make(path, text, overwrite=True)
        assert names(tmp_path / made) == WHOLE
        assert (tmp_path / made / "done.json").read_text() == text
    assert len(list((tmp_path / made).parent.iterdir())) == 1, "nothing else is left there"
    write_text(Path(path) / "a" / ("y" * 255), "z")


@pytest.mark.parametrize("out", [".", "..", "../.."])
def test_the_folder_that_one_stands_in_keeps_its_place(tmp_path, monkeypatch, out):
    (tmp_path / "a" / "b").mkdir(parents=True)
    target = {".": tmp_path / "a" / "b", "..": tmp_path / "a", "../..": tmp_path}[out]
    if out != ".":
        write_text(target / "done.json", "0")
    monkeypatch.chdir(tmp_path / "a" / "b")
    inode = target.stat().st_ino
    make(out, "1", overwrite=True)
    assert target.stat().st_ino == inode
    assert names(target) == WHOLE
    monkeypatch.chdir(target)
    make(".", "2", overwrite=True)
    assert (names(target), (target / "done.json").read_text()) == (WHOLE, "2")


def test_a_symbolic_link_stays_and_its_folder_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    for target in ("disk", "disk/new"):  # one that exists, and one that does not yet
        link = tmp_path / f"link-{target.replace('/', '-')}"
        link.symlink_to(tmp_path / target)
        make(link)
        make(link, "2", overwrite=True)
        assert link.is_symlink()
        assert (tmp_path / target / "done.json").read_text() == "2"
    file = tmp_path / "rows.jsonl"
    file.symlink_to(tmp_path / "disk" / "rows.jsonl")
    write_jsonl(file, [{"a": 1}])
    assert file.is_symlink()
    assert file.read_text() == '{"a": 1}\n'


def test_another_disk_and_a_folder_in_which_nothing_can_be_put_beside_it(tmp_path, monkeypatch):
    """A mount point, such as a volume of a container: it cannot be renamed, and what is beside it is another disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    rename = Path.replace

    def replace(self, target):
        if (Path(self) == disk) or (disk in self.parents) != (disk in Path(target).parents):
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="cross-device"):
        make(disk)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == disk)
    for text in "12":
        make(disk, text, overwrite=True)
        assert (names(disk), (disk / "done.json").read_text()) == (WHOLE, text)
    assert names(tmp_path) == ["disk", *(f"disk/{name}" for name in WHOLE)]


def test_what_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"below cannot be made, because \S*file is a file"):
        make(tmp_path / "file" / "below")
    with pytest.raises(InputError, match="is a file; give a folder name"):
        make(tmp_path / "file")
    with pytest.raises(OSError, match="too long"):
        make(tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((OSError, InputError)):
        make(tmp_path / "loop")
    assert names(tmp_path) == ["file", "loop"]


def test_folders_above_that_were_made_for_nothing_are_removed(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a" / "b" / "out", "done.json"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_a_device_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with hold_output(tmp_path / "pipe"):
        write_jsonl(tmp_path / "pipe", [{"a": 1}])
    assert os.read(reader, 100) == b'{"a": 1}\n'
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    # A folder never takes the place of a pipe, or of /dev/null.
    with pytest.raises(InputError, match="is a pipe or a device; give a folder name"):
        make(tmp_path / "pipe", overwrite=True)
    made = tmp_path / "made"
    made.mkdir()
    with pytest.raises(InputError, match="is not a folder"):
        put_in_place(made, tmp_path / "pipe")
    made.rmdir()
    assert names(tmp_path) == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


CHILD = """
import os, sys, signal
from pathlib import Path
from clear_ir.data import output_files
from clear_ir.data.output_files import new_folder, write_text
step, count = sys.argv[1], int(sys.argv[2])
rename = Path.replace
def replace(self, target):
    global count
    if Path(sys.argv[3]).name in str(self):
        count -= 1
        if count < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.replace = replace
with new_folder(Path(step), "done.json", overwrite=True) as folder:
    write_text(folder / "done.json", "2")
    write_text(folder / "runs" / "a.run", "2")
"""


@pytest.mark.parametrize("stands_in_it", [False, True])
def test_a_kill_at_each_rename_loses_nothing(tmp_path, stands_in_it, caplog):
    """The earlier output or the new one is there, whole, after each kill and the next run that looks."""
    out = tmp_path / "out"
    killed = 0
    for count in range(30):
        make(out, "1", overwrite=True)
        command = [sys.executable, "-c", CHILD, "." if stands_in_it else "out", str(count), str(out)]
        code = subprocess.run(command, cwd=out if stands_in_it else tmp_path, check=False).returncode
        mine = [out / "mine.txt"] if out.is_dir() and code else []
        for path in mine:
            path.write_text("put there after the kill")
        with hold_output(out, "done.json", overwrite=True):
            pass
        for path in mine:
            assert path.read_text() == "put there after the kill"
            path.unlink()
        assert names(out) == WHOLE
        text = (out / "done.json").read_text()
        assert (out / "runs" / "a.run").read_text() == text
        assert names(tmp_path) == ["out", *(f"out/{name}" for name in WHOLE)]
        if code == 0:
            assert text == "2"
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= 4, "too few moments were tried"
    assert "the earlier output is back" in caplog.text


def test_a_file_that_looks_like_a_leftover_but_is_the_users_stays(tmp_path):
    for name in ("out.20240101.old", "out.partial", "out.lock", "outer.clear-ir-00000000.old"):
        (tmp_path / name).mkdir()
    make(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 5


HOLDER = """
import sys
from pathlib import Path
from clear_ir.data.output_files import hold_output
with hold_output(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_and_a_killed_run(tmp_path):
    out = tmp_path / "rows.jsonl"
    command = [sys.executable, "-c", HOLDER, str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == b"held\n"
        (tmp_path / "link").symlink_to(tmp_path)
        for name in (out, tmp_path / "link" / "rows.jsonl"):
            with pytest.raises(InputError, match="Another run is writing to"), hold_output(name):
                pass
        with hold_output(tmp_path / "other.jsonl"), hold_output(tmp_path / "other.jsonl"):
            write_text(tmp_path / "other.jsonl", "x")
        first.send_signal(signal.SIGKILL)
    with hold_output(out):
        pass
    assert names(tmp_path) == ["link", "other.jsonl"]


@contextmanager
def small_files():
    """Within the block, files can have 1000 bytes at most, as on a full disk. It needs no rights.

    Not a fixture: pytest writes its own output between a test and the end of its fixtures, perhaps to a file.
    """
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path):
    import torch
    from safetensors.torch import save_file

    make(tmp_path / "out")
    weights = torch.zeros(1000)
    writers = [
        lambda folder: write_text(folder / "done.json", "x" * 2000),
        lambda folder: save_file({"a": weights}, folder / "model.safetensors"),
        lambda folder: torch.save(weights, folder / "optimizer.pt"),
    ]
    for write in writers:
        full = pytest.raises(InputError, match=r"out\S* cannot be written \(.*check rights and free space")
        with full as caught, small_files():
            make(tmp_path / "out", overwrite=True, write=write)
        assert "\n" not in str(caught.value)
        assert (names(tmp_path / "out"), (tmp_path / "out" / "done.json").read_text()) == (WHOLE, "1")
        assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InputError, match="rows.jsonl cannot be written"), small_files():
        write_text(tmp_path / "rows.jsonl", "x" * 2000)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_rights_is_one_sentence_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir(mode=0o555)
    if os.geteuid() == 0:  # root may write everywhere, so the system's answer is played
        opened = os.open

        def refuse(path, flags, *rest, **more):
            if str(path).startswith(str(tmp_path / "folder")) and flags & os.O_CREAT:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return opened(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"out cannot be written \(Permission denied\)"):
        make(tmp_path / "folder" / "out", write=lambda folder: pytest.fail("it began to work"))
    assert names(tmp_path) == ["folder"]


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out", "done.json") as folder:
        (folder / "missing").read_text()


def test_a_failed_rename_brings_the_earlier_output_back(tmp_path, monkeypatch):
    make(tmp_path / "out")
    made = beside(tmp_path / "out", "made")
    with pytest.raises(FileNotFoundError):
        put_in_place(made, tmp_path / "out")
    assert names(tmp_path / "out") == WHOLE
