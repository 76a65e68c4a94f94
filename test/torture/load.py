"""Agents and submitters who go on whatever happens, and remember what they were told."""

import logging
import random
import threading
import time
from collections import Counter

import psycopg
from psycopg.types.json import Jsonb

# That a session could not even be rolled back is nothing to write about here.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

AGENTS = 8
SUBMITTERS = 3
BACKLOG = 400           # jobs in the queue, above which submitters wait

FUNCTIONS = ("@torture:plain", "@torture:limited", "@torture:keyed", "@torture:rated")

# What may go wrong in a session: where, what, one time in so many.
FAULTS = ("*:error:60", "*:sleep:15", "*:fatal:300", "*:exit:4000 *:error:200", "row-before-index:error:20",
          "claim-before-history:exit:800", "add-before-place:error:20", "end-before-permits:error:10", "end-before-wake:error:5",
          "claim-before-settle:error:5", "finish-before-claim:error:10 finish-before-claim:exit:400")

# Errors that are expected when things go wrong; the statement did nothing.
EXPECTED = {
    "57014",            # canceled, or took too long
    "53100", "58030",   # no space left
    "57P01", "57P02", "57P03", "08006", "08003", "08001",   # the session or the server ended
    "40001", "40P01",
    "25006",            # the standby is not promoted yet
}
DROPPED = {"JB410", "JB409"}


class Ledger:
    """What was acknowledged. Nothing in it may be untrue afterwards."""

    def __init__(self):
        self.lock = threading.Lock()
        self.added = []
        self.recent = []
        self.keys = {}
        self.claims = {}
        self.completed = {}
        self.archived = set()
        self.wrong = []
        self.counts = Counter()

    def note(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def complain(self, text):
        with self.lock:
            self.wrong.append(text)

    def add(self, ids):
        with self.lock:
            self.added.extend(ids)
            self.recent = (self.recent + list(ids))[-300:]
            self.counts["added"] += len(ids)

    def keyed(self, key, job):
        with self.lock:
            before = self.keys.setdefault(key, job)
            if before != job:
                self.wrong.append(f"key {key} stands for job {before} and for job {job}")

    def claim(self, job, attempt, agent):
        with self.lock:
            self.counts["claimed"] += 1
            before = self.claims.setdefault((job, attempt), agent)
            if before != agent:
                self.wrong.append(f"attempt {attempt} of job {job} was given to agents {before} and {agent}")

    def complete(self, job, attempt, agent):
        with self.lock:
            self.counts["completed"] += 1
            before = self.completed.setdefault(job, (attempt, agent))
            if before != (attempt, agent):
                self.wrong.append(f"job {job} was completed as {before} and as {(attempt, agent)}")

    def some(self, most):
        with self.lock:
            return random.sample(self.recent, min(len(self.recent), random.randint(1, most)))


class World:
    """What all threads share. calm: nobody makes trouble; drain: nothing new comes."""

    def __init__(self, server):
        self.server = server
        self.ledger = Ledger()
        self.stop = False
        self.drain = False
        self.calm = False
        self.faults = False
        self.backlog = 0


class Client(threading.Thread):
    """One session that is opened again whenever it was lost."""

    def __init__(self, world, name):
        super().__init__(name=name, daemon=True)
        self.world = world
        self.ledger = world.ledger
        self.connection = None
        self.faulty = False
        self.random = random.Random()

    def run(self):
        while not self.world.stop:
            try:
                with self.world.server.connect(f"torture {self.name}") as self.connection:
                    self.faulty = False
                    self.connection.execute("LOAD 'jobs'")
                    while not self.world.stop and not self.connection.closed:
                        self.prepare()
                        self.guarded(self.step)
            except (psycopg.Error, psycopg.Rollback, OSError) as error:
                self.judge(error)
                time.sleep(0.05)
            except Exception as error:      # pylint: disable=broad-except
                self.ledger.complain(f"{self.name}: {error!r}")
                time.sleep(1)

    def guarded(self, work):
        """An error of one statement is not the end of the session."""
        try:
            work()
        except psycopg.Error as error:
            self.judge(error)
            if not self.connection.closed:
                self.connection.rollback()

    def judge(self, error):
        state = getattr(error, "sqlstate", None)
        if state is None or state in EXPECTED or "fault at" in str(error):
            self.ledger.note(f"error {state or 'lost'}")
        else:
            self.ledger.complain(f"{self.name}: unexpected {state}: {error}")

    def prepare(self):
        """Sometimes the session is to go wrong, or to be short of time."""
        quiet = self.world.calm or self.world.drain
        if self.faulty and (quiet or self.random.random() < 0.2):
            self.connection.execute("RESET statement_timeout; RESET jobs.direct")
            if self.world.faults:
                self.connection.execute("RESET jobs.fault")
            self.faulty = False
        elif not quiet and not self.faulty and self.random.random() < 0.05:
            self.faulty = True
            choice = self.random.random()
            if choice < 0.5 and self.world.faults:
                self.connection.execute(f"SET jobs.fault = '{self.random.choice(FAULTS)}'")
            elif choice < 0.75:
                self.connection.execute(f"SET statement_timeout = '{self.random.randint(1, 12)} ms'")
            else:
                self.connection.execute("SET jobs.direct = off")

    def rows(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def pause(self, most):
        time.sleep(self.random.random() * most)


class Agent(Client):
    def __init__(self, world, name, agent_id):
        super().__init__(world, name)
        self.id = agent_id
        self.held = {}

    def step(self):
        self.pause(0.02)
        if not self.held:
            self.claim()
            return
        job = self.random.choice(list(self.held))
        try:
            self.random.choices((self.finish, self.finish_all, self.chain, self.fail, self.release, self.progress,
                                 self.beat, self.forget), (30, 20, 25, 10, 4, 10, 6, 0 if self.world.drain else 3))[0](job)
        except psycopg.Error as error:
            if error.sqlstate not in DROPPED:
                if error.sqlstate == "JB404":
                    self.held.pop(job, None)
                raise
            self.held.pop(job, None)
            self.ledger.note("dropped")

    def lease(self):
        return self.random.choice(("400 ms", "2 s", "10 s"))

    def taken(self, rows):
        for job, attempt in rows:
            self.ledger.claim(job, attempt, self.id)
            self.held[job] = attempt
        if not rows:
            self.pause(0.05)

    def claim(self):
        if self.random.random() < 0.05:
            self.claim_and_think()
        else:
            self.taken(self.rows("SELECT job_id, attempt FROM jobs.claim_jobs(%s, %s, %s)",
                                 self.id, self.random.randint(1, 4), self.lease()))

    def claim_and_think(self):
        """In a longer transaction, which may be rolled back."""
        with self.connection.transaction():
            rows = self.rows("SELECT job_id, attempt FROM jobs.claim_jobs(%s, 3, '2 s')", self.id)
            self.pause(0.05)
            if self.random.random() < 0.5:
                raise psycopg.Rollback()
        # Whether it was rolled back is what the server says of the leases.
        self.taken([row for row in rows if self.rows(
            "SELECT 1 FROM jobs_store.lease WHERE agent_id = %s AND job_id = %s AND attempt = %s", self.id, *row)])

    def reported(self, job, attempt, name):
        self.held.pop(job, None)
        if name == "COMPLETED":
            self.ledger.complete(job, attempt, self.id)

    def finish(self, job):
        attempt = self.held[job]
        rows = self.rows("SELECT name::text FROM jobs.update_job_status(%s, 'COMPLETED', NULL, %s, %s)", job, self.id, attempt)
        self.reported(job, attempt, rows[0][0])

    def finish_all(self, _):
        jobs = list(self.held.items())
        rows = self.rows("SELECT job_id, (status).name::text, sqlstate FROM jobs.update_job_status(job_ids => %s::uuid[],"
                         " names => '{COMPLETED}', messages => NULL, agent_id => %s, attempts => %s::integer[])",
                         [job for job, _ in jobs], self.id, [attempt for _, attempt in jobs])
        for job, name, state in rows:
            self.reported(job, self.held.get(job), name)
            if state not in (None, "JB410", "JB409"):
                self.ledger.complain(f"{self.name}: batch says {state} of job {job}")

    def chain(self, job):
        attempt = self.held[job]
        rows = self.rows("SELECT job_id, attempt FROM jobs.finish_and_claim(%s, 'COMPLETED', NULL, %s, 2, %s, %s)",
                         job, self.id, self.lease(), attempt)
        self.reported(job, attempt, "COMPLETED")
        self.taken(rows)

    def fail(self, job):
        self.rows("SELECT name FROM jobs.update_job_status(%s, 'FAILED', 'no', %s, %s, %s)", job, self.id,
                  self.held[job], self.random.random() < 0.8)
        self.held.pop(job)
        self.ledger.note("failed")

    def release(self, job):
        self.rows("SELECT name FROM jobs.release_job(%s, %s, now() + random() * interval '100 ms')", job, self.id)
        self.held.pop(job)
        self.ledger.note("released")

    def progress(self, job):
        self.rows("SELECT name FROM jobs.update_job_status(%s, 'RUNNING', 'still there', %s, %s)", job, self.id, self.held[job])

    def beat(self, _):
        answer = self.rows("SELECT status, message FROM jobs.heartbeat(%s, %s::uuid[])", self.id, list(self.held))[0]
        if answer[0] != "ok":
            for job in [job for job in self.held if str(job) in answer[1]]:
                self.held.pop(job)

    def forget(self, job):
        """The agent loses a job; its lease has to run out."""
        self.held.pop(job)
        self.ledger.note("forgotten")


class Submitter(Client):
    def __init__(self, world, name):
        super().__init__(world, name)
        self.pending = None     # arguments with a key, until they are acknowledged
        self.counter = 0

    def step(self):
        if self.world.drain:
            self.settle()
            self.pause(0.2)
            return
        self.pause(0.06)
        if self.world.backlog > BACKLOG:
            self.pause(0.2)
        if self.pending is not None:
            self.add_keyed()
            return
        self.random.choices((self.add_keyed, self.add, self.add_many, self.cancel, self.retry, self.put_away, self.depend,
                             self.write), (25, 30, 15, 8, 6, 3, 4, 6))[0]()

    def settle(self):
        """At the end: nothing stays unacknowledged or archived."""
        if self.pending is not None:
            self.add_keyed()
        for job in list(self.ledger.archived):
            self.bring_back(job)

    def bring_back(self, job):
        """Taken from the ledger first: meanwhile another submitter may archive it again."""
        self.ledger.archived.discard(job)
        try:
            self.rows("SELECT name FROM jobs.restore(%s)", job)
        except psycopg.Error as error:
            if error.sqlstate != "JB409":
                self.ledger.archived.add(job)
                raise

    def job(self):
        job = {"function": self.random.choice(FUNCTIONS), "priority": self.random.randint(0, 2),
               "max_attempts": self.random.randint(1, 4), "parameters": {"n": self.random.random()}}
        if job["function"] == "@torture:keyed":
            job["concurrency_key"] = f"key {self.random.randint(1, 8)}"
        if self.random.random() < 0.25:
            job["depends_on"] = [str(id) for id in self.ledger.some(3)]
            job["on_dependency_failure"] = self.random.choice(("run", "cancel"))
        if self.random.random() < 0.2:
            job["backoff"] = "none"
        return job

    def insert(self, jobs):
        return [id for id, in self.rows("SELECT * FROM jobs.add_jobs(%s)", Jsonb(jobs))]

    def add_keyed(self):
        """Its answer may be lost with the session; then it is asked again, with the same key."""
        if self.pending is None:
            self.counter += 1
            self.pending = dict(self.job(), idempotency_key=f"{self.name} {self.counter}")
        id = self.insert([self.pending])[0]
        self.ledger.keyed(self.pending["idempotency_key"], id)
        self.ledger.add([id])
        self.pending = None

    def add(self):
        self.ledger.add([self.rows("SELECT id FROM jobs.add_job(%s, run_after => now() + random() * interval '300 ms')",
                                   self.random.choice(FUNCTIONS[:2]))[0][0]])

    def add_many(self):
        self.ledger.add(self.insert([self.job() for _ in range(self.random.randint(2, 15))]))

    def attempt_on(self, sql, what):
        """Something done to a recent job, which may not be in the state for it."""
        for job in self.ledger.some(1):
            try:
                self.rows(sql, job)
            except psycopg.Error as error:
                if error.sqlstate != "JB409":
                    raise
                return None
            self.ledger.note(what)
            return job
        return None

    def cancel(self):
        self.attempt_on("SELECT status FROM jobs.cancel_job(%s)", "canceled")

    def retry(self):
        self.attempt_on("SELECT name FROM jobs.retry_job(%s)", "retried by hand")

    def put_away(self):
        for job in list(self.ledger.archived)[:1]:
            self.bring_back(job)
            return
        for job in self.ledger.some(1):
            try:
                self.rows("SELECT name FROM jobs.archive(%s)", job)
            except psycopg.Error as error:
                if error.sqlstate != "JB409":   # it may be archived already, by somebody whose answer was lost
                    raise
            finally:
                self.ledger.archived.add(job)

    def depend(self):
        jobs = self.ledger.some(2)
        if len(jobs) == 2:
            try:
                self.rows("SELECT name FROM jobs.add_dependencies(%s, ARRAY[%s]::uuid[])", *jobs)
            except psycopg.Error as error:
                if error.sqlstate not in ("JB409", "22023"):    # not waiting any more; a circle
                    raise

    def write(self):
        self.attempt_on("SELECT id FROM jobs.update_job(%s, repeat('x', 1 + (random() * 3000)::integer)::bytea)", "written")


class Administrator(Client):
    """Changes what is allowed, looks after tables, and counts the queue."""

    def step(self):
        self.world.backlog = self.rows("SELECT (SELECT count(*) FROM jobs_store.ready) + (SELECT count(*) FROM jobs_store.waiting)")[0][0]
        if self.world.drain:
            for name in FUNCTIONS:
                self.rows("SELECT jobs.resume_function(%s)", name)
            self.rows("SELECT jobs.set_function_policy('@torture:rated', rate_limit => 200, rate_interval => '200 ms')")
        else:
            self.random.choice((self.limit, self.limit, self.pause_function, self.rewrite, self.sweep))()
        time.sleep(0.5)

    def limit(self):
        self.rows("SELECT jobs.set_function_policy('@torture:limited', max_in_flight => %s, max_run_time => '20 s')", self.random.randint(1, 6))
        self.rows("SELECT jobs.set_function_policy('@torture:keyed', max_in_flight => 10, max_in_flight_per_key => %s)", self.random.randint(1, 3))
        self.rows("SELECT jobs.set_function_policy('@torture:rated', rate_limit => %s, rate_interval => '200 ms')", self.random.randint(5, 40))

    def pause_function(self):
        name = self.random.choice(FUNCTIONS)
        self.rows("SELECT jobs.pause_function(%s)", name)
        self.pause(0.3)
        self.rows("SELECT jobs.resume_function(%s)", name)

    def rewrite(self):
        self.connection.execute(f"VACUUM FULL jobs_store.{self.random.choice(('ready', 'lease', 'waiting', 'permit'))}")

    def sweep(self):
        self.rows("SELECT jobs.sweep(), jobs_store.forget_keys()")
