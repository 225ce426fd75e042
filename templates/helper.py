"""Gives one mrunner the files of a volume, and takes them; Python 3.6 or newer, nothing else.

It listens on 127.0.0.1 in its pod, so that only `kubectl port-forward` leads to it. A client begins
with the 8 bytes `MRUNNER1` and 32 secret ones, whose sha256 stands in $MRUNNER_TOKEN_SHA256.
From then on both sides send frames, all numbers big-endian:

    length of the body u32, kind u8, sha256 of kind and body 32 bytes, body

Requests are answered in their order; each begins with a number `id` u32 that its answers repeat.
A path is bytes below the volume's root with `/` between the names, empty for the root, and is the
last field unless its length stands before it. No link is ever followed.

    L id deep u8 path           list a folder, or all below it: E... Z
    R id offset u64 length u64 path     read: D... F
    N id, paths each with its length u16     read small files whole: G..., a record for each path in their order
    H id block u32 offset u64 length u64 path     sha256 of each block of the range: B... F
    U id path                   sum up each entry of a folder: E... Z
    P id offset u64 part 32 bytes, data     write into a part of an upload: A
    M id size u64 mtime i64 mode u32 part 32 bytes, path     make the part this file: A
    K id mode u32 path          make a folder and those above it: A
    Y id target length u16, target, path     make a symbolic link: A
    V id path                   remove, with all below it: A
    S id                        wait until all that was written is on the disk: A

    W total u64 free u64 writable u8     welcome
    E id, entries               kind u8 (f d l o, e an error), size u64, mtime in ns i64, mode u32,
                                path length u16, path, length of extra u16, extra (a link's target, an error's
                                words); the sum of a folder has the number of files as its mode
    Z id count u64              the end of a list
    D id offset u64, data       a piece of a file
    F id size u64 mtime i64 inode u64 mode u32 offset u64, data     the last piece, and how the file is now
    G id, records               errno u32, size u64, mtime i64, inode u64, mode u32, length u32, content or words
    B id, digests               32 bytes for each block
    A id count u64              done
    T id count u64              still at work
    X id errno u32, words       refused, or failed
"""
import errno
import hashlib
import hmac
import os
import signal
import socket
import stat
import struct
import sys
import threading
import time

ROOT = os.environ["MRUNNER_ROOT"]
WRITABLE = os.environ.get("MRUNNER_WRITABLE") == "1"
TOKEN = os.environ["MRUNNER_TOKEN_SHA256"]
IDLE = float(os.environ.get("MRUNNER_IDLE", "60"))
PIECE = 512 * 1024
SMALL = 64 * 1024
LARGEST = 4 * 1024 * 1024
OWN = b".mrunner"
UPLOADS = OWN + b"/upload"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Gone(Exception):
    """The client is not there any more."""


def own_file(name, at):
    """The descriptor of a file of ours in the folder `at`, which others may write to: a regular file with one link.
    Whatever else has its name is removed, and the file made anew."""
    for _ in range(10):
        try:
            file = os.open(name, os.O_RDWR | FILE, dir_fd=at)
            status = os.fstat(file)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                return file
            os.close(file)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ENODEV):
                raise
        try:
            clear(name, at)
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | FILE, 0o660, dir_fd=at)
        except FileExistsError:
            pass
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def clear(name, at):
    """Removes what has this name in the folder `at`, with all below it; no link is followed."""
    try:
        below = os.open(name, FOLDER, dir_fd=at)
    except FileNotFoundError:
        return
    except OSError:
        below = None
    try:
        if below is None:
            os.unlink(name, dir_fd=at)
            return
        try:
            for inner in os.listdir(below):
                clear(inner, below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=at)
    except FileNotFoundError:
        pass


class Volume:
    """Opens what is below the root, name by name, so that no link leads out of it."""

    def __init__(self):
        self.last = None

    def close(self):
        if self.last:
            os.close(self.last[1])
            self.last = None

    def folder(self, path, make=None):
        """The descriptor of a folder; it stays ours."""
        if self.last and self.last[0] == path:
            return self.last[1]
        at = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in path.split(b"/") if path else []:
                if make is not None:
                    try:
                        os.mkdir(name, make, dir_fd=at)
                    except FileExistsError:
                        pass
                below = os.open(name, FOLDER, dir_fd=at)
                os.close(at)
                at = below
        except OSError:
            os.close(at)
            raise
        self.close()
        self.last = (path, at)
        return at

    def uploads(self):
        """The descriptor of the folder of the parts; a link or a file in its place is removed."""
        try:
            return self.folder(UPLOADS, 0o770)
        except NotADirectoryError:
            try:
                own = self.folder(OWN)
            except NotADirectoryError:
                raise OSError(errno.ENOTDIR, "`.mrunner` at the volume's root is not a folder")
            clear(UPLOADS.rpartition(b"/")[2], own)
            return self.folder(UPLOADS, 0o770)

    def place(self, path, make=None):
        """The folder of a path, and its last name."""
        above, _, name = path.rpartition(b"/")
        return self.folder(above, make), name

    def status(self, path):
        if not path:
            return os.fstat(self.folder(b""))
        at, name = self.place(path)
        return os.stat(name, dir_fd=at, follow_symlinks=False)

    def open(self, path):
        """The descriptor of a regular file, for the caller to close."""
        at, name = self.place(path)
        file = os.open(name, os.O_RDONLY | FILE, dir_fd=at)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file

    def walk(self, path, deep):
        """What is at `path`, then each folder's entries together, before those of the folders in it:
        path, status, a link's target; or path, None, an error's words."""
        status = self.status(path)
        yield path, status, self.target(path, status)
        waiting = [path] if stat.S_ISDIR(status.st_mode) else []
        while waiting:
            above = waiting.pop()
            try:
                names = sorted(os.fsencode(name) for name in os.listdir(self.folder(above)))
            except OSError as error:
                yield above, None, words(error)
                continue
            below = []
            for name in names:
                if not above and name == OWN:
                    continue
                entry = above + b"/" + name if above else name
                try:
                    status = os.stat(name, dir_fd=self.folder(above), follow_symlinks=False)
                    target = self.target(entry, status)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield entry, None, words(error)
                    continue
                yield entry, status, target
                if deep and stat.S_ISDIR(status.st_mode):
                    below.append(entry)
            waiting.extend(reversed(below))

    def target(self, path, status):
        if not stat.S_ISLNK(status.st_mode):
            return b""
        at, name = self.place(path)
        return os.fsencode(os.readlink(name, dir_fd=at))


def words(error):
    return os.fsencode(error.strerror or str(error))


def checked(path):
    if path and any(name in (b"", b".", b"..") or b"\0" in name for name in path.split(b"/")):
        raise OSError(errno.EINVAL, "the path leads out of the volume")
    return path


def kind_of(mode):
    for kind, test in ((b"f", stat.S_ISREG), (b"d", stat.S_ISDIR), (b"l", stat.S_ISLNK)):
        if test(mode):
            return kind
    return b"o"


def entry(path, status, extra):
    if status is None:
        kind, size, mtime, mode = b"e", 0, 0, 0
    else:
        kind, size, mtime, mode = kind_of(status.st_mode), status.st_size, status.st_mtime_ns, status.st_mode & 0o7777
    return record(kind, size, mtime, mode, path, extra)


def record(kind, size, mtime, mode, path, extra=b""):
    return struct.pack(">cQqIH", kind, size, mtime, mode, len(path)) + path + struct.pack(">H", len(extra)) + extra


class Client:
    """One connection."""

    def __init__(self, connection):
        self.socket = connection
        self.volume = Volume()
        self.parts = {}
        self.told = time.monotonic()

    def receive(self, length):
        whole = bytearray(length)
        view = memoryview(whole)
        while view:
            read = self.socket.recv_into(view)
            if not read:
                raise Gone()
            view = view[read:]
        return whole

    def send(self, kind, head, data=b""):
        digest = hashlib.sha256(kind)
        digest.update(head)
        digest.update(data)
        start = struct.pack(">Ic", len(head) + len(data), kind) + digest.digest() + head
        if len(data) < 65536:
            self.socket.sendall(start + data)
        else:
            self.socket.sendall(start)
            self.socket.sendall(data)
        self.told = time.monotonic()

    def breathe(self, number, count):
        """Tells from time to time that a long work goes on."""
        if time.monotonic() - self.told > 1:
            self.send(b"T", struct.pack(">IQ", number, count))

    def done(self, number, count=0):
        self.send(b"A", struct.pack(">IQ", number, count))

    def serve(self):
        self.socket.settimeout(10)
        greeting = bytes(self.receive(40))
        known = hmac.compare_digest(hashlib.sha256(greeting[8:]).hexdigest(), TOKEN)
        if greeting[:8] != b"MRUNNER1" or not known:
            return
        # a client that is silent for so long comes back if it is still there
        self.socket.settimeout(300)
        room = os.statvfs(ROOT)
        total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
        self.send(b"W", struct.pack(">QQB", total, free, WRITABLE))
        while True:
            length, kind, digest = struct.unpack(">Ic32s", self.receive(37))
            if length > LARGEST:
                return
            body = bytes(self.receive(length))
            if hashlib.sha256(kind + body).digest() != digest:
                return
            number, = struct.unpack_from(">I", body)
            try:
                if kind in b"PMKYVS" and not WRITABLE:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                REQUESTS[kind](self, number, body[4:])
            except (Gone, socket.timeout, ConnectionError):
                raise Gone()
            except OSError as error:
                self.send(b"X", struct.pack(">II", number, error.errno or errno.EIO), words(error))

    def list(self, number, body):
        entries, size, count, since = [], 0, 0, time.monotonic()
        for found in self.volume.walk(checked(body[1:]), body[0]):
            entries.append(entry(*found))
            size += len(entries[-1])
            count += 1
            if size > 256 * 1024 or time.monotonic() - since > 0.5:
                self.send(b"E", struct.pack(">I", number), b"".join(entries))
                entries, size, since = [], 0, time.monotonic()
        if entries:
            self.send(b"E", struct.pack(">I", number), b"".join(entries))
        self.send(b"Z", struct.pack(">IQ", number, count))

    def sums(self, number, body):
        top = checked(body)
        depth = len(top.split(b"/")) if top else 0
        sums, seen, count = {}, set(), 0
        for path, status, extra in self.volume.walk(top, True):
            count += 1
            self.breathe(number, count)
            names = path.split(b"/") if path else []
            if len(names) <= depth and (status is None or stat.S_ISDIR(status.st_mode)):
                if status is None:
                    raise OSError(errno.EACCES, extra.decode("utf-8", "replace"))
                continue
            own = b"/".join(names[:depth + 1])
            sum_of = sums.setdefault(own, [b"o", 0, 0, 0, []])
            if status is None:
                sum_of[4].append((path, extra))
                continue
            if path == own:
                sum_of[0] = kind_of(status.st_mode)
            if stat.S_ISDIR(status.st_mode):
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            sum_of[1] += status.st_size
            sum_of[2] = max(sum_of[2], status.st_mtime_ns)
            sum_of[3] += 1
        for path, (kind, size, mtime, files, errors) in sorted(sums.items()):
            records = [record(kind, size, mtime, min(files, 2**32 - 1), path)]
            records += [record(b"e", 0, 0, 0, path, extra) for path, extra in errors]
            self.send(b"E", struct.pack(">I", number), b"".join(records))
        self.send(b"Z", struct.pack(">IQ", number, len(sums)))

    def finished(self, number, file, offset, data):
        status = os.fstat(file)
        self.send(b"F", struct.pack(">IQqQIQ", number, status.st_size, status.st_mtime_ns, status.st_ino,
                                    status.st_mode & 0o7777, offset), data)

    def read(self, number, body):
        offset, length = struct.unpack_from(">QQ", body)
        file = self.volume.open(checked(body[16:]))
        try:
            while True:
                data = os.pread(file, min(PIECE, length), offset)
                length -= len(data)
                if not data or not length:
                    self.finished(number, file, offset, data)
                    return
                self.send(b"D", struct.pack(">IQ", number, offset), data)
                offset += len(data)
        finally:
            os.close(file)

    def read_many(self, number, body):
        records, size, at = [], 0, 0
        while at < len(body):
            length, = struct.unpack_from(">H", body, at)
            path = body[at + 2:at + 2 + length]
            at += 2 + length
            try:
                above, name = self.volume.place(checked(path))
                file = os.open(name, os.O_RDONLY | FILE, dir_fd=above)
                try:
                    data = os.pread(file, SMALL, 0)
                    status = os.fstat(file)
                finally:
                    os.close(file)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file")
                head = struct.pack(">IQqQII", 0, status.st_size, status.st_mtime_ns, status.st_ino,
                                   status.st_mode & 0o7777, len(data))
            except OSError as error:
                data = words(error)
                head = struct.pack(">IQqQII", error.errno or errno.EIO, 0, 0, 0, 0, len(data))
            records += (head, data)
            size += len(data)
            if size > PIECE:
                self.send(b"G", struct.pack(">I", number), b"".join(records))
                records, size = [], 0
        if records:
            self.send(b"G", struct.pack(">I", number), b"".join(records))

    def hash(self, number, body):
        block, offset, length = struct.unpack_from(">IQQ", body)
        path = checked(body[20:])
        # a part that is still being written to here is the same file
        file = self.volume.open(path)
        digests = []
        try:
            while length > 0:
                left, digest = min(block, length), hashlib.sha256()
                length -= left
                while left:
                    data = os.pread(file, min(PIECE, left), offset)
                    if not data:
                        length = left = 0
                        break
                    digest.update(data)
                    offset += len(data)
                    left -= len(data)
                    self.breathe(number, offset)
                digests.append(digest.digest())
                if len(digests) == 16:
                    self.send(b"B", struct.pack(">I", number), b"".join(digests))
                    digests = []
            if digests:
                self.send(b"B", struct.pack(">I", number), b"".join(digests))
            self.finished(number, file, offset, b"")
        finally:
            os.close(file)

    def part(self, name):
        """The descriptor of a part of an upload; it stays ours."""
        name = bytes(name)
        if not all(byte in b"0123456789abcdef" for byte in name):
            raise OSError(errno.EINVAL, "that is no part's name")
        at = self.volume.uploads()
        if name in self.parts:
            # another connection may have made a file of it meanwhile
            try:
                if os.stat(name, dir_fd=at, follow_symlinks=False).st_ino == os.fstat(self.parts[name]).st_ino:
                    return self.parts[name]
            except FileNotFoundError:
                pass
            os.close(self.parts.pop(name))
        while len(self.parts) >= 4:
            os.close(self.parts.pop(next(iter(self.parts))))
        self.parts[name] = own_file(name, at)
        return self.parts[name]

    def put(self, number, body):
        offset, = struct.unpack_from(">Q", body)
        file, view = self.part(body[8:40]), memoryview(body)[40:]
        while view:
            written = os.pwrite(file, view, offset)
            offset += written
            view = view[written:]
        self.done(number)

    def finish(self, number, body):
        size, mtime, mode = struct.unpack_from(">QqI", body)
        part, path = body[20:52], checked(body[52:])
        uploads = os.dup(self.volume.uploads())
        try:
            at, name = self.volume.place(path, 0o777)
            try:
                os.stat(part, dir_fd=uploads, follow_symlinks=False)
            except FileNotFoundError:
                # it may be that only the answer was lost
                there = os.stat(name, dir_fd=at, follow_symlinks=False)
                if not (stat.S_ISREG(there.st_mode) and there.st_size == size and there.st_mtime_ns == mtime):
                    raise
                self.done(number)
                return
            self.part(part)
            file = self.parts.pop(part)
            try:
                length = os.fstat(file).st_size
                if length < size:
                    raise OSError(errno.EIO, "the part is shorter than the file")
                if length > size:
                    os.ftruncate(file, size)
                os.fchmod(file, mode & 0o777 | 0o600)
                os.utime(file, ns=(mtime, mtime))
                if size >= 1024 * 1024:
                    os.fsync(file)
            finally:
                os.close(file)
            at, name = self.volume.place(path)
            os.replace(part, name, src_dir_fd=uploads, dst_dir_fd=at)
        finally:
            os.close(uploads)
        self.done(number)

    def make_folder(self, number, body):
        mode, = struct.unpack_from(">I", body)
        path = checked(body[4:])
        if path:
            at, name = self.volume.place(path, 0o777)
            try:
                os.mkdir(name, mode & 0o777 | 0o700, dir_fd=at)
            except FileExistsError:
                # an error of its own if that is no folder
                os.close(os.open(name, FOLDER, dir_fd=at))
        self.done(number)

    def make_link(self, number, body):
        length, = struct.unpack_from(">H", body)
        target, path = body[2:2 + length], checked(body[2 + length:])
        at, name = self.volume.place(path, 0o777)
        try:
            os.symlink(target, name, dir_fd=at)
        except FileExistsError:
            if not stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                raise
            if os.fsencode(os.readlink(name, dir_fd=at)) != target:
                os.unlink(name, dir_fd=at)
                os.symlink(target, name, dir_fd=at)
        self.done(number)

    def remove(self, number, body):
        path, folders, count, first = checked(body), [], 0, None
        if not path:
            raise OSError(errno.EINVAL, "a volume is not removed as a whole")
        for below, status, extra in self.volume.walk(path, True):
            self.breathe(number, count)
            if status is None:
                first = first or OSError(errno.EACCES, extra.decode("utf-8", "replace"))
            elif stat.S_ISDIR(status.st_mode):
                folders.append(below)
            else:
                first = self.unlink(below, os.unlink) or first
                count += 1
        for below in reversed(folders):
            self.breathe(number, count)
            first = self.unlink(below, os.rmdir) or first
        self.volume.close()
        if first:
            raise first
        self.done(number, count)

    def unlink(self, path, how):
        try:
            at, name = self.volume.place(path)
            how(name, dir_fd=at)
        except FileNotFoundError:
            pass
        except OSError as error:
            return OSError(error.errno, "%s: %s" % (os.fsdecode(path), error.strerror))
        return None

    def sync(self, number, _):
        for name in list(self.parts):
            os.close(self.parts.pop(name))
        try:
            # what is empty goes; who uploads at the same time has parts in it
            at, name = self.volume.place(UPLOADS)
            os.rmdir(name, dir_fd=at)
        except OSError:
            pass
        self.volume.close()
        root = self.volume.folder(b"")
        try:
            import ctypes
            synced = ctypes.CDLL(None, use_errno=True).syncfs(root) == 0
        except (ImportError, OSError, AttributeError):
            synced = False
        if not synced:
            os.sync()
        self.done(number)

    def end(self):
        self.volume.close()
        for file in self.parts.values():
            os.close(file)
        self.socket.close()


REQUESTS = {
    b"L": Client.list, b"R": Client.read, b"N": Client.read_many, b"H": Client.hash, b"U": Client.sums, b"P": Client.put, b"M": Client.finish,
    b"K": Client.make_folder, b"Y": Client.make_link, b"V": Client.remove, b"S": Client.sync,
}


class Presence:
    """Who is there; the program ends when nobody has been for a while."""

    def __init__(self):
        self.lock = threading.Lock()
        self.clients = 0
        self.since = time.monotonic()

    def change(self, by):
        with self.lock:
            self.clients += by
            self.since = time.monotonic()

    def is_over(self):
        with self.lock:
            return not self.clients and time.monotonic() - self.since > IDLE


def attend(connection, presence):
    client = Client(connection)
    presence.change(1)
    try:
        client.serve()
    except (Gone, OSError, struct.error, KeyError):
        pass
    finally:
        client.end()
        presence.change(-1)


def main():
    # process 1 ignores each signal that it has no handler for
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    presence = Presence()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ["MRUNNER_PORT"])))
    listener.listen(16)
    listener.settimeout(min(1, IDLE))
    while not presence.is_over():
        try:
            connection, _ = listener.accept()
        except socket.timeout:
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=attend, args=(connection, presence), daemon=True).start()
    sys.exit(0)


if __name__ == "__main__":
    main()
