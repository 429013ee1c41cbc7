"""Programs that reach for the network: TCP to the harness's listener, unix sockets, and the rarer families."""

from .case import Case, harm

NET: list[Case] = []

# --- TCP to 127.0.0.1:PORT, where the harness listens ----------------------------------------------------------------

for _name, _program in {
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 1)",
    "ipv6": "import socket\nsocket.create_connection(('::ffff:127.0.0.1', @PORT@), 1)",
    "any": "import socket\nsocket.create_connection(('0.0.0.0', @PORT@), 1)",
    "localhost": "import socket\nsocket.create_connection(('localhost', @PORT@), 1)",
    "http": "import http.client\nhttp.client.HTTPConnection('127.0.0.1', @PORT@, timeout=1).connect()",
    "fast_open": """
import socket
s = socket.socket()
s.sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', @PORT@))
s.getpeername()
""",
    "multipath": """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.settimeout(1)
s.connect(('127.0.0.1', @PORT@))
""",
    "connect_ex": """
import socket
s = socket.socket()
s.settimeout(1)
assert s.connect_ex(('127.0.0.1', @PORT@)) == 0
""",
    "libc": """
import ctypes, struct
libc = ctypes.CDLL(None)
fd = libc.socket(2, 1, 0)
address = struct.pack('<H', 2) + struct.pack('>H', @PORT@) + bytes([127, 0, 0, 1]) + bytes(8)
assert fd >= 0 and libc.connect(fd, address, 16) == 0
""",
    "smtp": """
import smtplib
try:
    smtplib.SMTP('127.0.0.1', @PORT@, timeout=1)
except (ConnectionRefusedError, PermissionError):
    raise
except (smtplib.SMTPException, TimeoutError):
    pass
""",
    "urllib": """
import urllib.error, urllib.request
try:
    urllib.request.urlopen('http://127.0.0.1:@PORT@/', timeout=1)
except urllib.error.HTTPError:
    pass
except urllib.error.URLError:
    raise
except (OSError, ValueError):
    pass
""",
    "thread": """
import socket, threading
ok = []
def go():
    ok.append(socket.create_connection(('127.0.0.1', @PORT@), 1))
t = threading.Thread(target=go)
t.start()
t.join()
assert ok
""",
    "asyncio": """
import asyncio
async def go():
    await asyncio.wait_for(asyncio.open_connection('127.0.0.1', @PORT@), 1)
asyncio.run(go())
""",
    "exec": "import os, sys\nos.execv(sys.executable, ['python', '-c', \"import socket\\n"
    "socket.create_connection(('127.0.0.1', @PORT@), 1)\\nprint('escaped')\"])",
}.items():
    NET.append(harm(f"tcp_{_name}", "connects to a listener of the host", f"{_program}\nprint('escaped')\n"))

# --- beyond TCP ------------------------------------------------------------------------------------------------------

NET += [
    harm(
        "udp_route",
        "has a way to the outside: a UDP socket finds a route (no packet is sent)",
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('192.0.2.1', 53))
assert s.getsockname()[0] != '0.0.0.0'
print('escaped')
""",
    ),
    harm(
        "udp_send",
        "sends a datagram to a documentation address",
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b'r1kit-escape', ('192.0.2.1', 9))
print('escaped')
""",
    ),
    harm(
        "dns",
        "resolves a name",
        "import socket\nsocket.getaddrinfo('example.com', 80)\nprint('escaped')\n",
    ),
    harm(
        "unix_path",
        "connects to the harness's unix socket: Landlock alone does not govern it",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('@CANARY_SOCKET@')\nprint('escaped')\n",
    ),
    harm(
        "unix_abstract",
        "connects to the harness's abstract unix socket: no file system stands in the way",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0@CANARY_ABSTRACT@')\nprint('escaped')\n",
    ),
    harm(
        "unix_services",
        "connects to a service of the host",
        """
import socket
paths = ["/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/dev/log",
         "/run/systemd/journal/stdout", "/run/systemd/private", "/var/run/nscd/socket", "\\0/tmp/.X11-unix/X0",
         "/tmp/.X11-unix/X0", "/run/snapd.socket", "/run/user/0/bus", "/run/user/1000/bus"]
for path in paths:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(path)
        except OSError:
            continue
        print("escaped")
        raise SystemExit
""",
    ),
    harm(
        "raw",
        "makes raw or packet sockets (CAP_NET_RAW)",
        """
import socket
for family, kind, protocol in ((2, socket.SOCK_RAW, 255), (17, socket.SOCK_RAW, 0x300), (10, socket.SOCK_RAW, 58)):
    try:
        socket.socket(family, kind, protocol)
    except OSError:
        continue
    print("escaped")
    break
""",
    ),
    harm(
        "netlink_links",
        "sees the host's network interfaces",
        """
import socket
if any(name.startswith(("e", "w", "docker", "br", "veth", "bond")) for _, name in socket.if_nameindex()):
    print("escaped")
""",
    ),
    harm(
        "vsock",
        "makes a socket to the hypervisor, which no network namespace holds back (and does not connect it)",
        "import socket\nsocket.socket(40, socket.SOCK_STREAM)\nprint('escaped')\n",
    ),
    harm(
        "rare_families",
        "makes sockets of families that only exist to be attacked",
        """
import socket
for family in (3, 4, 5, 9, 11, 15, 21, 23, 26, 29, 30, 31, 33, 35, 36, 37, 38, 39, 41, 42, 43, 44):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        try:
            socket.socket(family, kind)
        except OSError:
            continue
        print("escaped")
        raise SystemExit
""",
    ),
    harm(
        "inherited_socket",
        "finds an inherited socket that has a peer with a network address",
        """
import socket
for fd in range(1024):
    try:
        s = socket.socket(fileno=fd)
    except OSError:
        continue
    if s.family in (socket.AF_INET, socket.AF_INET6):
        print("escaped")
        break
    s.detach()
""",
    ),
]
