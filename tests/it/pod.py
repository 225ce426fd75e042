#!/usr/bin/python3 -SE
"""Stands in for kubectl and a cluster that runs helpers: `create` starts the program of a Job on this machine with
the folder WORLD/volume, `forward` is `kubectl port-forward` to it; `pod` beside this one shows and ends it.

The connection through which so many bytes have passed takes the first file of the folder WORLD/faults (a file whose
name begins with `always` stays) and does what is written in it: MODE BYTES.

    cut      kubectl dies, and with it all connections
    half     the same with exit code 0
    stream   this connection ends in the middle of a frame
    corrupt  one bit is another one
    lose     some bytes do not arrive
    hang     nothing arrives any more
    hook     the script WORLD/hook runs, and nothing else happens
    evict    the pod is gone
"""
import json, os, re, signal, socket, sys, threading, time

world = sys.argv[2]


def read(name):
    with open(f"{world}/{name}") as file:
        return file.read()


def has(name):
    return os.path.exists(f"{world}/{name}")


def save(pod, state):
    """The file appears with all that is in it."""
    with open(f"{world}/{pod}.new", "w") as file:
        json.dump(state, file)
    os.rename(f"{world}/{pod}.new", f"{world}/{pod}.json")


def pod_of(words):
    return "pod-" + re.search("mrunner-helper-[a-z0-9]{8}", words)[0]


def free_port():
    """In a pod every port is free, and here other tests have their helpers."""
    while True:
        with socket.socket() as probe:
            port = 20_000 + int.from_bytes(os.urandom(2), "big") % 10_000
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def start(command, env):
    """Starts a program in a session of its own, and gives its process."""
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        log = os.open(f"{world}/helper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for fd, own in enumerate([null, null, log]):
            os.dup2(own, fd)
        if has("as-nobody"):
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        os.execve("/usr/bin/python3", ["/usr/bin/python3", *command], env)
    finally:
        os._exit(127)


def create():
    job = json.load(sys.stdin)
    container = job["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e["value"].replace("$$", "$") for e in container["env"]}
    port = free_port()
    env.update({"MRUNNER_PORT": str(port), "MRUNNER_ROOT": f"{world}/volume"})
    env["MRUNNER_IDLE"] = read("idle") if has("idle") else "20"
    process = start([word.replace("$$", "$") for word in container["command"][1:]], env)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    name = job["metadata"]["name"]
    with open(f"{world}/pod-{name}.pid", "w") as file:
        print(process, file=file)
    save(f"pod-{name}", {"kind": "Pod", "metadata": {"name": name + "-x"}, "port": port, "status": {
        "phase": "Running", "containerStatuses": [{"name": "helper", "state": {"running": {}}}]}})


def evict(pod):
    try:
        state = json.loads(read(pod + ".json"))
        process = int(read(pod + ".pid"))
        os.unlink(f"{world}/{pod}.pid")
        os.kill(process, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return
    save(pod, {**state, "status": {"phase": "Failed", "reason": "Evicted"}})


def next_fault():
    """The file, mode and number of bytes of the fault that comes next."""
    for file in sorted(os.listdir(f"{world}/faults")):
        try:
            mode, count = read("faults/" + file).split()
            return file, mode, int(count)
        except FileNotFoundError:
            pass
    return None, "", 0


def is_ours(file):
    """Whether this connection has the fault, and no other one."""
    if file.startswith("always"):
        return True
    try:
        os.rename(f"{world}/faults/{file}", f"{world}/taken-{file}")
        return True
    except FileNotFoundError:
        return False


class Wire:
    def __init__(self, near, port):
        self.near, self.lock = near, threading.Lock()
        self.file, self.mode, self.left = next_fault()
        self.far = socket.socket()
        for end in (self.near, self.far):
            # what is under way is little, so that a fault comes before the helper has sent all
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.far.connect(("127.0.0.1", port))
        for source, sink in ((self.near, self.far), (self.far, self.near)):
            threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(self.pass_on(data, sink))
        except OSError:
            pass
        for end in (self.near, self.far):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pass_on(self, data, sink):
        with self.lock:
            if not self.mode or len(data) <= self.left:
                self.left -= len(data)
                return data
            file, mode, at = self.file, self.mode, self.left
            self.file, self.mode, self.left = "", "", 0
            ours = is_ours(file)
            if not ours or mode not in ("cut", "half", "evict", "stream"):
                self.file, self.mode, self.left = next_fault()
        if not ours:
            return data
        if mode == "corrupt":
            return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
        if mode == "lose":
            return data[:at] + data[at + 7:]
        if mode == "hook":
            os.system(f"cd '{world}'; exec /bin/sh hook")
            return data
        sink.sendall(data[:at])
        if mode == "stream":
            raise OSError
        if mode == "hang":
            time.sleep(600)
        if mode == "evict":
            evict(pod_of(sys.argv[3]))
        os._exit(0 if mode == "half" else 1)


def forward():
    try:
        pod = json.loads(read(pod_of(sys.argv[3]) + ".json"))
    except FileNotFoundError:
        sys.exit("Error from server (NotFound): pods not found")
    if pod["status"]["phase"] != "Running":
        sys.exit("error: unable to forward port because pod is not running. Current status=Failed")
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {pod['port']}", flush=True)
    while True:
        near, _ = listener.accept()
        print("Handling connection", flush=True)
        try:
            Wire(near, pod["port"])
        except OSError as error:
            print(f"an error occurred forwarding: {error}", file=sys.stderr)
            sys.exit("error: lost connection to pod")


{"create": create, "forward": forward}[sys.argv[1]]()
