"""Which of the kernel's calls a submission may make: the lines of a seccomp filter's program; see seccomp(2).

Refused is what reaches out of its process, what lets two submissions that run side by side tell each other something,
and memory that no limit counts. The numbers of aarch64 are from the kernel's tables; nothing here has run on one.
"""

import errno

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
LOAD, EQUAL, AT_LEAST, ANY_BIT, GIVE = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: load a word, three tests, return
ALLOW, ANSWER = 0x7FFF0000, 0x00050000
DONE = 0  # in place of an error: the call says that it was done, and was not

NEWEST_CALL = 462  # later ones, and x86-64's second set of numbers, are answered as by an older kernel: no such call

# name: its number on x86_64 and on aarch64, which lacks the older ones
_REFUSED = {
    # memory that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # other processes' memory
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # parts of the kernel that no submission needs
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "open_by_handle_at": (304, 265),
    # what others can notice: keys, watches on shared folders, which pages of shared files are in memory, quotas, and
    # the kernel's log, in which a crash leaves an address of its choice
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "preadv2": (327, 286),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
}
_CLONE3 = 435  # its flags are behind a pointer, where no filter sees them; libc then does with `clone`
_SOCKET, _SOCKETPAIR, _SETSOCKOPT = (41, 198), (53, 199), (54, 208)
_CLONE, _FCNTL, _FLOCK = (56, 220), (72, 25), (73, 32)
_AF_UNIX, _NEW_NAMESPACES = 1, 0x7E020000
_SO_SNDBUF, _SO_SNDBUFFORCE = 7, 32
_SETLK, _SETLKW, _OFD_SETLK, _OFD_SETLKW = 6, 7, 37, 38
_SETLEASE, _NOTIFY, _SETPIPE_SZ, _FIRST_HINT = 1024, 1026, 1031, 1035

# call, its argument, the test that this must pass or fail, and the answer. A lock is granted and not taken: between
# submissions it would be a message through the inode of a shared file, and honest code, alone with its files, goes on.
# From _FIRST_HINT on lie hints and delegations, which stay with a shared file too.
_BY_ARGUMENT = [
    (_SOCKET, 0, EQUAL, False, _AF_UNIX, errno.EAFNOSUPPORT),
    (_SOCKETPAIR, 0, EQUAL, False, _AF_UNIX, errno.EAFNOSUPPORT),
    (_SETSOCKOPT, 2, EQUAL, True, _SO_SNDBUF, DONE),  # as the kernel does with a size above its limit
    (_SETSOCKOPT, 2, EQUAL, True, _SO_SNDBUFFORCE, errno.EPERM),
    (_CLONE, 0, ANY_BIT, True, _NEW_NAMESPACES, errno.EPERM),
    (_FLOCK, 0, AT_LEAST, True, 0, DONE),
    *[(_FCNTL, 1, EQUAL, True, command, DONE) for command in (_SETLK, _SETLKW, _OFD_SETLK, _OFD_SETLKW)],
    *[(_FCNTL, 1, EQUAL, True, command, errno.EPERM) for command in (_SETLEASE, _NOTIFY, _SETPIPE_SZ)],
    (_FCNTL, 1, AT_LEAST, True, _FIRST_HINT, errno.EINVAL),
]


def program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a machine, as code, lines to skip if true, if false, and operand.

    Each rule is a few lines that skip no more than themselves, since a jump reaches 255 lines.
    """
    column = list(AUDIT_ARCH).index(machine)
    number, lines = (LOAD, 0, 0, 0), [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT_ARCH[machine]), _answer(errno.EPERM)]
    lines += [number, (AT_LEAST, 0, 1, NEWEST_CALL + 1), _answer(errno.ENOSYS)]
    lines += [(EQUAL, 0, 1, _CLONE3), _answer(errno.ENOSYS)]
    for numbers in _REFUSED.values():
        if (call := numbers[column]) is not None:
            lines += [(EQUAL, 0, 1, call), _answer(errno.EPERM)]
    for numbers, argument, test, passed, value, error in _BY_ARGUMENT:
        skip = (0, 1) if passed else (1, 0)
        lines += [(EQUAL, 0, 4, numbers[column]), (LOAD, 0, 0, 16 + 8 * argument)]  # the lower half: all are 32 bit
        lines += [(test, *skip, value), _answer(error), number]
    return [*lines, (GIVE, 0, 0, ALLOW)]


def _answer(error: int) -> tuple[int, int, int, int]:
    return (GIVE, 0, 0, ANSWER | error)
