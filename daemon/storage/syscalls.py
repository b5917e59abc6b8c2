"""The Linux calls the standard library lacks: openat2, renameat2, statx and name_to_handle_at, with their fallbacks.

``openat2`` (Linux 5.6) refuses symlinks, magic links, escapes and mount crossings in the kernel, in one step.
Where it is missing or filtered away, O_NOFOLLOW and a comparison of mount ids take its place.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final, NamedTuple

_OPENAT2: Final = 437  # the same number on every architecture (Linux 5.6, include/uapi/asm-generic/unistd.h)
_RENAMEAT2: Final = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347}.get(
    platform.machine()
)

_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RENAME_NOREPLACE: Final = 1

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_statx = getattr(_libc, "statx", None)  # an old C library has none
_name_to_handle_at = getattr(_libc, "name_to_handle_at", None)
# struct statx: mask, mode, inode, the times of birth, of change and of modification, and the device
_STATX: Final = struct.Struct("=I24xH2xQ40xqI4xqI4xqI12xII")
_STATX_BUFFER: Final = ctypes.c_char * 256
_STATX_WANTED: Final = 0xFFF
_STATX_BTIME: Final = 0x800
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_NO_AUTOMOUNT: Final = 0x800
_AT_EMPTY_PATH: Final = 0x1000
_NS: Final = 10**9
_HANDLE: Final = struct.Struct("=Ii")  # its length and its kind; the handle follows
_MOST_HANDLE: Final = 128


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _OpenHow(DIRECTORY, 0, _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
_HOW_REF = ctypes.byref(_HOW)
_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_HOW))
_OPENAT2_ARG = ctypes.c_long(_OPENAT2)
_has_openat2 = True
# A rename elsewhere can race the resolution (openat2(2)); EXDEV then says that the directory was moved away meanwhile.
# A mount point says EXDEV as well, but every time.
_RACED: Final = {errno.EINTR, errno.EAGAIN, errno.EXDEV}
_ATTEMPTS: Final = 16


def has_openat2() -> bool:
    """Whether the kernel, and whatever filters its calls, takes openat2."""
    fd = os.open(".", DIRECTORY)
    try:
        found: int = _libc.syscall(_OPENAT2_ARG, ctypes.c_int(fd), b".", _HOW_REF, _HOW_SIZE)
        if found >= 0:
            os.close(found)
        return found >= 0
    finally:
        os.close(fd)


def open_directory(parent_fd: int, name: str) -> int:
    """Open the directory ``name`` inside ``parent_fd``, never through a symlink, never onto another mount.

    Returns a descriptor the caller closes. Raises OSError: ENOENT, ENOTDIR or ELOOP when it is not a
    directory, EXDEV when it is a mount point (a bind mount of the same file system included).
    """
    global _has_openat2
    attempts = _ATTEMPTS
    while _has_openat2:
        fd = _libc.syscall(_OPENAT2_ARG, ctypes.c_int(parent_fd), os.fsencode(name), _HOW_REF, _HOW_SIZE)
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        attempts -= 1
        if code in _RACED and attempts:
            continue
        if code == errno.ENOSYS:
            _has_openat2 = False
        elif code == errno.EPERM:  # filtered away, in this thread at least
            break
        else:
            raise OSError(code, os.strerror(code), name)
    return _open_directory_portably(parent_fd, name)


def _open_directory_portably(parent_fd: int, name: str) -> int:
    if "/" in name or name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    fd = os.open(name, DIRECTORY, dir_fd=parent_fd)
    try:
        if mount_id(fd) != mount_id(parent_fd):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def mount_id(fd: int) -> int:
    """The kernel's number of the mount ``fd`` lies on; ``st_dev`` alone does not see a bind mount."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            for line in info:
                if line.startswith(b"mnt_id:"):
                    return int(line.split()[1])
    except FileNotFoundError:
        pass
    return os.fstat(fd).st_dev  # no /proc: the device is the best that is left


def rename_noreplace(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
    """Rename, failing with EEXIST if the target exists. Raises OSError as rename(2) does.

    File systems without RENAME_NOREPLACE (EINVAL: some network ones) get a check before a plain rename.
    """
    if _RENAMEAT2 is not None:
        result = _libc.syscall(
            ctypes.c_long(_RENAMEAT2),
            ctypes.c_int(from_fd),
            os.fsencode(from_name),
            ctypes.c_int(to_fd),
            os.fsencode(to_name),
            ctypes.c_uint(_RENAME_NOREPLACE),
        )
        if result == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), from_name, None, to_name)
    try:
        os.stat(to_name, dir_fd=to_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)
    else:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), from_name, None, to_name)


class Status(NamedTuple):
    """What lies under a name. ``birth_ns``: when it was made; None where the file system does not tell."""

    device: tuple[int, int]
    inode: int
    mode: int
    birth_ns: int | None
    mtime_ns: int
    ctime_ns: int


def status(fd: int, name: str) -> Status:
    """What ``name`` inside ``fd`` is, or with an empty name ``fd`` itself; never through a symlink. Raises OSError."""
    if _statx is None:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False) if name else os.fstat(fd)
        device = os.major(found.st_dev), os.minor(found.st_dev)
        return Status(device, found.st_ino, found.st_mode, None, found.st_mtime_ns, found.st_ctime_ns)
    buffer = _STATX_BUFFER()  # one for each call: threads share the module
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | (0 if name else _AT_EMPTY_PATH)
    if _statx(fd, os.fsencode(name), flags, _STATX_WANTED, buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    mask, mode, inode, born_s, born_ns, ctime_s, ctime_ns, mtime_s, mtime_ns, major, minor = _STATX.unpack_from(buffer)
    born = born_s * _NS + born_ns if mask & _STATX_BTIME else 0  # some say that they know it, and then 0
    return Status((major, minor), inode, mode, born or None, mtime_s * _NS + mtime_ns, ctime_s * _NS + ctime_ns)


def handle(fd: int, name: str) -> bytes | None:
    """The file system's own handle of ``name`` inside ``fd``: no other one ever gets it. None if there is none.

    Only where the file system, the kernel and whatever filters its calls have one to give.
    """
    if _name_to_handle_at is None:
        return None
    buffer, mount = ctypes.create_string_buffer(_HANDLE.size + _MOST_HANDLE), ctypes.c_int()
    _HANDLE.pack_into(buffer, 0, _MOST_HANDLE, 0)
    flags = 0 if name else _AT_EMPTY_PATH
    if _name_to_handle_at(fd, os.fsencode(name), buffer, ctypes.byref(mount), flags) != 0:
        return None
    length, kind = _HANDLE.unpack_from(buffer)
    return _HANDLE.pack(length, kind) + buffer.raw[_HANDLE.size : _HANDLE.size + length]
