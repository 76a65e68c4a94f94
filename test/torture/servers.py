"""A server that is there to be killed."""

import os
import shutil
import signal
import subprocess
import time

import psycopg

PATIENCE = 60           # seconds until a server must have come back

CONFIGURATION = """
listen_addresses = ''
fsync = off
shared_buffers = 32MB
max_connections = 60
max_wal_size = 48MB
checkpoint_timeout = 30s
checkpoint_completion_target = 0.3
autovacuum_naptime = 1s
wal_retrieve_retry_interval = 100ms
hot_standby_feedback = on
log_checkpoints = off
log_min_messages = warning
log_line_prefix = '%m [%p] %b %e '
deadlock_timeout = 200ms
jobs.lost_grace = 500ms
jobs.retry_base = 50ms
jobs.retry_cap = 500ms
jobs.sweep_interval = 200ms
include_if_exists = 'preload.conf'
"""


def tool(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise OSError(f"{words[0]} failed: {done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


class Server:
    """One data folder on its own port; fsync is off, for the machine stays up."""

    def __init__(self, folder, port, sockets):
        self.data = os.path.join(folder, f"server{port}")
        self.port = port
        self.sockets = sockets
        self.log = os.path.join(sockets, "torture.log")

    def connect(self, name, **more):
        return psycopg.connect(host=self.sockets, port=self.port, user="postgres", dbname="postgres",
                               application_name=name, autocommit=True, connect_timeout=5, **more)

    def settings(self, extra=""):
        with open(os.environ["TEMP_CONFIG"], encoding="utf-8") as known:
            return f"{known.read()}{CONFIGURATION}unix_socket_directories = '{self.sockets}'\nport = {self.port}\n{extra}"

    def init(self):
        tool("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-N", "-k", "--no-locale", "-E", "UTF8", "--wal-segsize=1")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(self.settings())

    def preload(self, wanted):
        """From the next start on."""
        with open(os.path.join(self.data, "preload.conf"), "w", encoding="utf-8") as file:
            file.write(f"shared_preload_libraries = '{'jobs' if wanted else ''}'\n")

    def start(self):
        tool("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", str(PATIENCE), "start")

    def stop(self):
        """As if the machine had lost power, but for what the kernel has in its cache."""
        tool("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-t", str(PATIENCE), "stop")

    def alive(self):
        return subprocess.run(["pg_ctl", "-D", self.data, "status"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def wait(self):
        """Until it answers; it is started when it has given up."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connect("torture wait") as connection:
                    connection.execute("SELECT 1")
                    return
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
            if not self.alive():
                try:
                    self.start()
                except OSError:
                    if time.monotonic() > deadline:
                        raise
            time.sleep(0.05)

    def kill(self, pid):
        """Without a chance to clean up; answers whether there was somebody to kill."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def clone(self, folder, port):
        """A standby of this one, not started."""
        standby = Server(folder, port, self.sockets)
        tool("pg_basebackup", "-h", self.sockets, "-p", str(self.port), "-U", "postgres", "-D", standby.data,
             "-c", "fast", "-X", "stream", "-R", "--no-manifest", "--no-verify-checksums")
        with open(os.path.join(standby.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(standby.settings())
        return standby

    def remove(self):
        if self.alive():
            self.stop()
        shutil.rmtree(self.data, ignore_errors=True)

    def promote(self):
        tool("pg_ctl", "-D", self.data, "-w", "-t", str(PATIENCE), "promote")
