# Serves the files of a volume to one mrunner: lists, reads and writes them. Needs Python 3.6 or newer, and nothing else.
# The program leaves out lines that begin with `#`.
#
# It listens on 127.0.0.1 in its pod, so only `kubectl port-forward` can reach it. A client sends the 8 bytes `MRUNNER1` and 32
# secret bytes, whose sha256 is in $MRUNNER_TOKEN_SHA256. Then both sides send frames. All numbers are big-endian:
#
#     length of the body u32, kind u8, sha256 of kind and body 32 bytes, body
#
# Requests are answered in their order. Each request begins with a number `id` u32, which its answers repeat. A path is bytes
# relative to the root of the volume, with `/` between the names; it is empty for the root. It is the last field unless its
# length comes before it. Links are never followed.
#
#     L id deep u8 path           list a folder, or everything below it: E... Z
#     R id offset u64 length u64 path     read: D... F
#     N id, paths each with its length u16     read small files whole: G..., a record for each path in their order
#     H id block u32 offset u64 length u64 path     sha256 of each block of the range: B... F
#     U id path                   sum up each entry of a folder: E... Z
#     P id offset u64 part 32 bytes, data     write into a part of an upload: A
#     M id size u64 mtime i64 mode u32 part 32 bytes, path     rename the part to this file: A
#     K id mode u32 path          create a folder and its parents: A
#     Y id target length u16, target, path     create a symbolic link: A
#     V id path                   remove a path and everything below it: A
#     S id                        wait until everything that was written is on the disk: A
#
#     W total u64 free u64 writable u8     welcome
#     E id, entries               kind u8 (f d l o, e an error), size u64, mtime in ns i64, mode u32,
#                                 path length u16, path, length of extra u16, extra (the target of a link, the words of
#                                 an error); the sum of a folder has the number of files in place of the mode
#     Z id count u64              the end of a list
#     D id offset u64, data       a piece of a file
#     F id size u64 mtime i64 inode u64 mode u32 offset u64, data     the last piece, and the state of the file now
#     G id, records               errno u32, size u64, mtime i64, inode u64, mode u32, length u32, content or words
#     B id, digests               32 bytes for each block
#     A id count u64              done
#     T id count u64              still working
#     X id errno u32, words       refused, or failed
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


# The client has closed its connection.
class ClientGone(Exception):
    pass


# Opens a file of ours in the folder `at`, in which others may write: a regular file with one link. Removes anything else of
# this name, and creates the file again.
def own_file(name, at):
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
            remove_all(name, at)
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | FILE, 0o660, dir_fd=at)
        except FileExistsError:
            pass
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


# Removes what has this name in the folder `at`, and everything below it. Follows no link.
def remove_all(name, at):
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
                remove_all(inner, below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=at)
    except FileNotFoundError:
        pass


# Opens paths below the root name by name, so that no link leads out of the volume.
class Volume:
    def __init__(self):
        self.last = None

    def close(self):
        if self.last:
            os.close(self.last[1])
            self.last = None

    # The descriptor of a folder. The volume closes it.
    def folder(self, path, make=None):
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

    # The descriptor of the folder with the parts. Removes a link or a file in its place.
    def uploads(self):
        try:
            return self.folder(UPLOADS, 0o770)
        except NotADirectoryError:
            try:
                own = self.folder(OWN)
            except NotADirectoryError:
                raise OSError(errno.ENOTDIR, "`.mrunner` at the volume's root is not a folder")
            remove_all(UPLOADS.rpartition(b"/")[2], own)
            return self.folder(UPLOADS, 0o770)

    # The parent folder of a path, and its last name.
    def parent_of(self, path, make=None):
        above, _, name = path.rpartition(b"/")
        return self.folder(above, make), name

    def status(self, path):
        if not path:
            return os.fstat(self.folder(b""))
        at, name = self.parent_of(path)
        return os.stat(name, dir_fd=at, follow_symlinks=False)

    # The descriptor of a regular file. The caller closes it.
    def open(self, path):
        at, name = self.parent_of(path)
        file = os.open(name, os.O_RDONLY | FILE, dir_fd=at)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file

    # Yields the path itself, then the entries of each folder before those of its subfolders: path, status, target of a link;
    # or path, None, words of an error.
    def walk(self, path, deep):
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
        at, name = self.parent_of(path)
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


# One connection.
class Client:
    def __init__(self, connection):
        self.socket = connection
        self.volume = Volume()
        self.parts = {}
        self.last_sent = time.monotonic()

    def receive(self, length):
        whole = bytearray(length)
        view = memoryview(whole)
        while view:
            read = self.socket.recv_into(view)
            if not read:
                raise ClientGone()
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
        self.last_sent = time.monotonic()

    # Tells once a second that a long request is still being worked on.
    def send_progress(self, number, count):
        if time.monotonic() - self.last_sent > 1:
            self.send(b"T", struct.pack(">IQ", number, count))

    def done(self, number, count=0):
        self.send(b"A", struct.pack(">IQ", number, count))

    def serve(self):
        self.socket.settimeout(10)
        greeting = bytes(self.receive(40))
        known = hmac.compare_digest(hashlib.sha256(greeting[8:]).hexdigest(), TOKEN)
        if greeting[:8] != b"MRUNNER1" or not known:
            return
        # a client that is still there connects again
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
            except (ClientGone, socket.timeout, ConnectionError):
                raise ClientGone()
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
            self.send_progress(number, count)
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

    def send_last(self, number, file, offset, data):
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
                    self.send_last(number, file, offset, data)
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
                above, name = self.volume.parent_of(checked(path))
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
                    self.send_progress(number, offset)
                digests.append(digest.digest())
                if len(digests) == 16:
                    self.send(b"B", struct.pack(">I", number), b"".join(digests))
                    digests = []
            if digests:
                self.send(b"B", struct.pack(">I", number), b"".join(digests))
            self.send_last(number, file, offset, b"")
        finally:
            os.close(file)

    # The descriptor of a part of an upload. The client keeps and closes it.
    def part(self, name):
        name = bytes(name)
        if not all(byte in b"0123456789abcdef" for byte in name):
            raise OSError(errno.EINVAL, "that is no part's name")
        at = self.volume.uploads()
        if name in self.parts:
            # another connection may have renamed it meanwhile
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
            at, name = self.volume.parent_of(path, 0o777)
            try:
                os.stat(part, dir_fd=uploads, follow_symlinks=False)
            except FileNotFoundError:
                # an earlier attempt may have renamed it, and its answer was lost
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
            at, name = self.volume.parent_of(path)
            os.replace(part, name, src_dir_fd=uploads, dst_dir_fd=at)
        finally:
            os.close(uploads)
        self.done(number)

    def make_folder(self, number, body):
        mode, = struct.unpack_from(">I", body)
        path = checked(body[4:])
        if path:
            at, name = self.volume.parent_of(path, 0o777)
            try:
                os.mkdir(name, mode & 0o777 | 0o700, dir_fd=at)
            except FileExistsError:
                # fails if it is not a folder
                os.close(os.open(name, FOLDER, dir_fd=at))
        self.done(number)

    def make_link(self, number, body):
        length, = struct.unpack_from(">H", body)
        target, path = body[2:2 + length], checked(body[2 + length:])
        at, name = self.volume.parent_of(path, 0o777)
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
            self.send_progress(number, count)
            if status is None:
                first = first or OSError(errno.EACCES, extra.decode("utf-8", "replace"))
            elif stat.S_ISDIR(status.st_mode):
                folders.append(below)
            else:
                first = self.unlink(below, os.unlink) or first
                count += 1
        for below in reversed(folders):
            self.send_progress(number, count)
            first = self.unlink(below, os.rmdir) or first
        self.volume.close()
        if first:
            raise first
        self.done(number, count)

    def unlink(self, path, how):
        try:
            at, name = self.volume.parent_of(path)
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
            # only if it is empty: other uploads may have parts in it
            at, name = self.volume.parent_of(UPLOADS)
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

    def close(self):
        self.volume.close()
        for file in self.parts.values():
            os.close(file)
        self.socket.close()


REQUESTS = {
    b"L": Client.list, b"R": Client.read, b"N": Client.read_many, b"H": Client.hash, b"U": Client.sums, b"P": Client.put, b"M": Client.finish,
    b"K": Client.make_folder, b"Y": Client.make_link, b"V": Client.remove, b"S": Client.sync,
}


# Counts the clients. The program ends when there has been none for a while.
class Clients:
    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.since = time.monotonic()

    def add(self, number):
        with self.lock:
            self.count += number
            self.since = time.monotonic()

    def is_over(self):
        with self.lock:
            return not self.count and time.monotonic() - self.since > IDLE


def serve(connection, clients):
    client = Client(connection)
    clients.add(1)
    try:
        client.serve()
    except (ClientGone, OSError, struct.error, KeyError):
        pass
    finally:
        client.close()
        clients.add(-1)


def main():
    # process 1 of a container ignores every signal for which it has no handler
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    clients = Clients()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ["MRUNNER_PORT"])))
    listener.listen(16)
    listener.settimeout(min(1, IDLE))
    while not clients.is_over():
        try:
            connection, _ = listener.accept()
        except socket.timeout:
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection, clients), daemon=True).start()
    sys.exit(0)


if __name__ == "__main__":
    main()
