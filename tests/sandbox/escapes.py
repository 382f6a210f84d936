"""Attempts to get out of a session: each is a program that prints "refused" where it fails.

`attempt` runs as the body of a function; what it returns is what it got at. An exception, or a
result that is false, counts as refused. {service} is the service's pid, {secret} a file outside,
{other} the workspace of another session, {socket} a unix socket that listens outside, {home} the
service's folder, {code} a file of its source."""

from dataclasses import dataclass

from tests.sandbox.escapes_more import MORE

PRELUDE = """
import ctypes, errno, glob, os, pathlib, signal, socket, stat, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
HERE = os.getcwd()
def call(number, *arguments):
    got = libc.syscall(number, *arguments)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True
"""


@dataclass(frozen=True)
class Escape:
    name: str
    attempt: str


def _e(name: str, attempt: str) -> Escape:
    return Escape(name, attempt)


ESCAPES = (
    # network
    _e("ipv4", "return socket.socket(socket.AF_INET)"),
    _e("ipv6", "return socket.socket(socket.AF_INET6)"),
    _e("udp", "return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    _e("raw packets", "return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    _e("netlink", "return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    _e("vsock", "return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"),
    _e("alg", "return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)"),
    _e("socketpair of inet", "return socket.socketpair(socket.AF_INET)"),
    _e(
        "name service",
        "return socket.getaddrinfo('example.org', 80)[0] and "
        "socket.create_connection(('example.org', 80), 2)",
    ),
    _e("url", "import urllib.request\nreturn urllib.request.urlopen('http://127.0.0.1:1/')"),
    _e("unix socket outside", "s = socket.socket(socket.AF_UNIX)\ns.connect({socket!r})\nreturn 1"),
    _e(
        "abstract socket",
        "s = socket.socket(socket.AF_UNIX)\ns.connect({abstract!r})\nreturn 1",
    ),
    _e("interfaces", "return [n for _, n in socket.if_nameindex() if n != 'lo']"),
    # files
    _e("secret outside", "return open({secret!r}).read()"),
    _e("secret through a link", "os.symlink({secret!r}, 'l1')\nreturn open('l1').read()"),
    _e("secret through a hard link", "os.link({secret!r}, 'l2')\nreturn open('l2').read()"),
    _e("secret through /proc/self/root", "return open('/proc/self/root' + {secret!r}).read()"),
    _e("secret through /proc/1/root", "return open('/proc/1/root' + {secret!r}).read()"),
    _e("secret by a shell", "return subprocess.check_output(['/bin/cat', {secret!r}])"),
    _e("secret by dot dot", "return open('../' * 20 + {secret!r}).read()"),
    _e(
        "secret through the service's files",
        "return [open(f).read() for f in glob.glob('/proc/{service}/fd/*')]",
    ),
    _e("folder of the service", "return os.listdir('/proc/{service}/cwd')"),
    _e("workspace of another", "return os.listdir({other!r})"),
    _e("file of another", "return open({other!r} + '/mine.txt').read()"),
    _e("write beside the workspace", "open('../escaped', 'w').write('x')\nreturn 1"),
    _e("write to /usr", "open('/usr/escaped', 'w').write('x')\nreturn 1"),
    _e("write to /etc", "open('/etc/passwd', 'a').write('x')\nreturn 1"),
    _e(
        "write to the kernel's code",
        "import isobath_kernel\nopen(isobath_kernel.__file__, 'a').write('x')\nreturn 1",
    ),
    _e("write to the packages", "import numpy\nopen(numpy.__file__, 'a').write('x')\nreturn 1"),
    _e("write to the root", "open('/escaped', 'w').write('x')\nreturn 1"),
    _e("write to /dev", "open('/dev/escaped', 'w').write('x')\nreturn 1"),
    _e("passwords", "return open('/etc/shadow').read()"),
    _e("home of root", "return os.listdir('/root')"),
    _e("disk", "return [open(d, 'rb').read(1) for d in glob.glob('/dev/[svn][dv]*')]"),
    _e("memory of the machine", "return open('/dev/mem', 'rb').read(1)"),
    _e("kernel's log", "return open('/dev/kmsg').read(1)"),
    _e("settings of the kernel", "open('/proc/sys/kernel/hostname', 'w').write('x')\nreturn 1"),
    _e("sysrq", "open('/proc/sysrq-trigger', 'w').write('h')\nreturn 1"),
    _e("core pattern", "open('/proc/sys/kernel/core_pattern', 'w').write('|/x')\nreturn 1"),
    _e("cgroups", "open('/sys/fs/cgroup/cgroup.procs', 'w').write('0')\nreturn 1"),
    # environment and processes
    _e(
        "environment of the service",
        "data = open('/proc/{service}/environ', 'rb').read()\nreturn b'analyst' not in data",
    ),
    _e(
        "environments of all",
        "told = [pathlib.Path(p).read_bytes() for p in glob.glob('/proc/[0-9]*/environ') "
        "if os.access(p, os.R_OK)]\nreturn any(b'HOME=' in t and b'analyst' not in t for t in told)",
    ),
    _e("own environment", "return [n for n in os.environ if 'PLANTED' in n or 'ISOBATH' in n]"),
    _e(
        "command lines of all",
        "return any(b'pytest' in pathlib.Path(p).read_bytes() "
        "for p in glob.glob('/proc/[0-9]*/cmdline'))",
    ),
    _e("memory of the service", "return open('/proc/{service}/mem', 'rb')"),
    _e(
        "signal to the service",
        "os.kill({service}, 0)\nreturn 'pytest' in open('/proc/{service}/cmdline').read()",
    ),
    _e("signal to all", "return os.kill(-1, 0) and 0"),
    _e("trace of the parent", "return call(101, 16, os.getppid(), 0, 0)"),
    _e("memory of the parent", "return call(310, os.getppid(), 0, 0, 0, 0, 0)"),
    _e("descriptor of the service", "fd = os.pidfd_open({service})\nreturn call(438, fd, 0, 0)"),
    # privileges
    _e("root", "os.setuid(0)\nreturn 1"),
    _e("root by setresuid", "os.setresuid(0, 0, 0)\nreturn 1"),
    _e("being root", "return os.geteuid() == 0"),
    _e(
        "capabilities",
        "return any(int(l.split()[1], 16) for l in open('/proc/self/status') "
        "if l.startswith(('CapEff', 'CapPrm', 'CapAmb')))",
    ),
    _e(
        "set-uid programs",
        "return b'uid=0' in subprocess.check_output(['su', '-c', 'id'], "
        "stdin=subprocess.DEVNULL, timeout=5)",
    ),
    _e("user namespace", "return call(272, 0x10000000)"),
    _e("mount namespace", "return call(272, 0x00020000)"),
    _e("namespace by clone", "return call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)"),
    _e("namespace by clone3", "return call(435, ctypes.create_string_buffer(88), 88)"),
    _e("namespace of init", "return call(308, os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)"),
    _e("mount", "return call(165, b'none', b'.', b'tmpfs', 0, 0)"),
    _e("new mounts", "return call(430, b'tmpfs', 0)"),
    _e("change of root", "os.chroot('.')\nreturn 1"),
    _e("device", "os.mknod('d', stat.S_IFCHR | 0o666, os.makedev(1, 3))\nreturn 1"),
    _e("handles of files", "return call(304, -100, ctypes.create_string_buffer(16), 0)"),
    _e("keyring", "return call(250, 0, -3, 1)"),
    _e("bpf", "return call(321, 0, ctypes.create_string_buffer(128), 128)"),
    _e("perf", "return call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)"),
    _e("userfaultfd", "return call(323, 0)"),
    _e("io_uring", "return call(425, 1, ctypes.create_string_buffer(128))"),
    _e("kernel module", "return call(313, 0, b'', 0)"),
    _e("kexec", "return call(246, 0, 0, 0, 0)"),
    _e("clock", "time.clock_settime(time.CLOCK_REALTIME, time.time())\nreturn 1"),
    _e("host name", "socket.sethostname('x')\nreturn 1"),
    _e("terminal input", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')\nreturn 1"),
    _e(
        "higher limits",
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)\nreturn 1",
    ),
    _e("higher priority", "os.nice(-5)\nreturn 1"),
    _e("shared memory of others", "return [n for n in os.listdir('/dev/shm') if 'outside' in n]"),
    *(Escape(name, attempt) for name, attempt in MORE.items()),
    _e("wider Landlock or seccomp", "return 'Seccomp:\\t0' in open('/proc/self/status').read()"),
)
