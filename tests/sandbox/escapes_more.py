"""More attempts of the table in `escapes`: rarer families, other ways to the same thing, and what
an account shared with the service would allow."""

_MODE = "before = os.stat({secret!r}).st_mode\n"

NETWORK = {
    "bluetooth": "return socket.socket(31, socket.SOCK_RAW, 1)",
    "can": "return socket.socket(29, socket.SOCK_RAW, 1)",
    "tipc": "return socket.socket(30, socket.SOCK_RDM)",
    "xdp": "return socket.socket(44, socket.SOCK_RAW)",
    "sctp": "return socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132)",
    "ping": "return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)",
    "network of a shell": "return subprocess.run(['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/1'], "
    "capture_output=True).stderr.count(b'refused')",
    "network of another Python": "return subprocess.run([sys.executable, '-c', "
    "'import socket; socket.socket(2, 1)'], capture_output=True).returncode == 0",
    "remote file of duckdb": "import duckdb\nreturn duckdb.sql(\"from 'https://127.0.0.1:1/x.csv'\")",
    "extension of duckdb": "import duckdb\nduckdb.sql('install httpfs')\nreturn 1",
    "32-bit calls": "import mmap\nm = mmap.mmap(-1, 4096, prot=7)\n"
    "m.write(bytes.fromhex('53b814000000cd805bc3'))\n"  # getpid(2) by int 0x80
    "at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
    "return ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0",
    "x32 calls": "return call(0x40000000 | 41, socket.AF_INET, socket.SOCK_STREAM, 0)",
}

FILES = {
    "secret by openat2": "fd = libc.syscall(437, -100, {secret!r}.encode(), "
    "ctypes.create_string_buffer(24), 24)\nreturn fd >= 0 and os.read(fd, 9)",
    "secret by duckdb": "import duckdb\n"
    'return duckdb.sql("select content from read_text(\'" + {secret!r} + "\')").fetchall()',
    "secret moved in": "os.rename({secret!r}, 'moved')\nreturn 1",
    "secret emptied": "os.truncate({secret!r}, 0)\nreturn 1",
    "secret removed": "os.unlink({secret!r})\nreturn 1",
    "secret's mode": _MODE
    + "os.chmod({secret!r}, 0)\nreturn os.stat({secret!r}).st_mode != before",
    "secret's mode by fchmodat2": _MODE + "libc.syscall(452, -100, {secret!r}.encode(), 0, 0)\n"
    "return os.stat({secret!r}).st_mode != before",
    "secret's owner": "os.chown({secret!r}, os.getuid(), os.getgid())\nreturn 1",
    "secret's times": "os.utime({secret!r}, (1, 1))\nreturn os.stat({secret!r}).st_mtime == 1",
    "secret's attributes": "os.setxattr({secret!r}, 'user.x', b'1')\nreturn 1",
    "watch of a folder outside": "fd = libc.inotify_init()\n"
    "return fd >= 0 and libc.inotify_add_watch(fd, os.path.dirname({secret!r}).encode(), 0xfff) > 0",
    "secret through its folder's descriptor": "fd = os.open(os.path.dirname({secret!r}), os.O_PATH)\n"
    "return os.read(os.open('secret', os.O_RDONLY, dir_fd=fd), 9)",
    "secret through a thread": "return open('/proc/thread-self/root' + {secret!r}).read()",
    "secret after a change of folder": "os.chdir(os.path.dirname({secret!r}))\n"
    "try: return open('secret').read()\nfinally: os.chdir(HERE)",
    "slots": "return os.listdir({home!r} + '/slots')",
    "workspaces": "return os.listdir({home!r} + '/workspaces')",
    "code of the service": "return open({code!r}).read()",
    "tokens of a cluster": "return os.listdir('/var/run/secrets')",
    "keys of people": "return glob.glob('/home/*/.ssh/*') + glob.glob('/root/.ssh/*')",
    "socket of containers": "s = socket.socket(socket.AF_UNIX)\ns.connect('/var/run/docker.sock')",
    "folders of the machine": "return [n for n in os.listdir('/run') + os.listdir('/var')]",
    "memory image of the machine": "return open('/proc/kcore', 'rb').read(1)",
    "addresses of the kernel": "return any(int(l.split()[0], 16) for l in open('/proc/kallsyms'))",
    "settings of devices": "open('/sys/power/state', 'w').write('mem')\nreturn 1",
    "wheel for the next one": "open(sys.prefix + '/escaped.pth', 'w').write('import os')\nreturn 1",
}

OTHERS = {
    "limits of the service": "import resource\n"
    "return resource.prlimit({service}, resource.RLIMIT_NOFILE)",
    "files of the service taken away": "import resource\n"
    "resource.prlimit({service}, resource.RLIMIT_NOFILE, (4096, 4096))\nreturn 1",
    "priority of the service": "os.setpriority(os.PRIO_PROCESS, {service}, 5)\n"
    "return os.path.exists('/proc/{service}') and os.getpriority(os.PRIO_PROCESS, {service}) == 5",
    "cores of the service": "os.sched_setaffinity({service}, [0, 1])\nreturn 1",
    "scheduling of the service": "os.sched_setscheduler({service}, os.SCHED_OTHER, "
    "os.sched_param(0))\nreturn 1",
    "disk priority of the service": "return call(251, 1, {service}, (2 << 13) | 4)",
    "maps of the service": "return 'python' in open('/proc/{service}/maps').read()",
    "root of the service": "return os.listdir('/proc/{service}/root/proc/{service}/fd')",
    "threads of the service": "return 'grpc' in open('/proc/{service}/task/{service}/comm').read()",
    "stop of the parent": "os.kill(os.getppid(), signal.SIGSTOP)\nreturn 0",
    "end of init": "os.kill(1, signal.SIGKILL)\nreturn 0",
    "queued signal": "return call(129, {service}, 0, ctypes.create_string_buffer(128)) and "
    "b'pytest' in open('/proc/{service}/cmdline', 'rb').read()",
    "signal by pidfd": "fd = os.pidfd_open({service})\nsignal.pidfd_send_signal(fd, 0)\n"
    "return b'pytest' in open('/proc/{service}/cmdline', 'rb').read()",
    "trace of oneself by a child": "return call(101, 0, 0, 0, 0)",
    "comparison of processes": "return call(312, os.getpid(), {service}, 0, 0, 0)",
    "advice on another's memory": "return call(440, 0, 0, 0, 0, 0)",
    "pages of another": "return call(256, {service}, 1, 0, 0)",
    "spared when memory runs out": "open('/proc/self/oom_score_adj', 'w').write('-900')\nreturn 1",
}

KEPT = {
    "shared memory of System V": "return libc.shmget(0x15ba7, 4096, 0o1666) >= 0",
    "semaphores of System V": "return libc.semget(0x15ba7, 1, 0o1666) >= 0",
    "messages of System V": "return libc.msgget(0x15ba7, 0o1666) >= 0",
    "messages of POSIX": "return call(240, b'isobath', os.O_RDWR | os.O_CREAT, 0o666, 0)",
    "memory behind a descriptor": "return os.memfd_create('x') >= 0",
    "memory that is secret": "return call(447, 0)",
    "lock on all memory": "return libc.mlockall(3) == 0",
    "keyring of the user": "return call(248, b'user', b'x', b'y', 1, -4)",
}

PRIVILEGES = {
    "local descriptors": "return call(154, 1, ctypes.create_string_buffer(16), 16)",
    "personality": "return call(135, 0x0040000)",
    "swap": "return call(167, b'/dev/zero', 0)",
    "accounting": "return call(163, b'x')",
    "quota": "return call(179, 0, 0, 0, 0)",
    "root of mounts": "return call(155, b'.', b'.')",
    "move of a mount": "return call(429, -100, b'.', -100, b'/', 0)",
    "tree of mounts": "return call(428, -100, b'/', 1)",
    "notices of all files": "return call(300, 0, 0)",
    "kernel's ring": "return call(103, 3, ctypes.create_string_buffer(64), 64)",
    "ports": "return call(172, 3)",
    "capabilities back": "return call(126, ctypes.create_string_buffer(8), "
    "ctypes.create_string_buffer(b'\\xff' * 24))",
    "groups": "os.setgroups([0])\nreturn 1",
    "set-uid file of one's own": "import shutil\nshutil.copyfile('/bin/true', 'suid')\n"
    "os.chmod('suid', 0o4755)\nreturn os.stat('suid').st_uid == 0",
    "cgroup namespace": "return call(272, 0x02000000)",
    "network namespace": "return call(272, 0x40000000)",
    "restart": "return call(169, 0xfee1dead, 672274793, 0, 0)",
}

MORE = {**NETWORK, **FILES, **OTHERS, **KEPT, **PRIVILEGES}
