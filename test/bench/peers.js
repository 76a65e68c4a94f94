// usage: NODE_PATH=<node_modules> node peers.js
//
// Prints, as JSON, the SQL of graphile-worker and pg-boss: how they install
// themselves, add, claim and complete. Nothing of it stands here: the packages
// run with a connection that writes down what they send and answers little.
// A value that starts with : or $ is a variable, and goes into the statement
// by name; every other value goes in as a literal. :ids is an array.
'use strict';

const MANY = 100;

function literal(value) {
	if (Array.isArray(value)) {
		if (value[0] === ':ids')
			return ':ids';
		return /^:/.test(value[0]) ? `ARRAY[${value.join(', ')}]` : literal(`{${value.join(',')}}`);
	}
	if (value === null || value === undefined)
		return 'NULL';
	if (typeof value === 'number' || typeof value === 'boolean')
		return String(value);
	if (typeof value === 'object')
		return literal(JSON.stringify(value));
	return /^[:$]/.test(value) ? value : `'${value.replaceAll("'", "''")}'`;
}

// A connection that keeps the statements that were sent, with their values in place.
function recorder(answer) {
	const sent = [];
	const query = async (statement, values) => {
		const text = typeof statement === 'string' ? statement : statement.text;
		const given = values ?? statement.values ?? [];
		sent.push(text.replace(/\$(\d+)/g, (found, n) => (n <= given.length ? literal(given[n - 1]) : found)).trim().replace(/;$/, ''));
		return answer(text);
	};
	const run = (use) => use({ query });
	run.withRetries = run;
	return { sent, query, run, last: () => sent[sent.length - 1] };
}

async function graphileWorker() {
	const { migrate } = require('graphile-worker/dist/migrate');
	const { batchGetJobs } = require('graphile-worker/dist/sql/getJobs');
	const { batchCompleteJobs } = require('graphile-worker/dist/sql/completeJobs');
	const { makeAddJob, makeAddJobs } = require('graphile-worker/dist/helpers');
	const quiet = () => {};
	const options = {
		escapedWorkerSchema: 'graphile_worker',
		workerSchema: 'graphile_worker',
		resolvedPreset: { worker: { preparedStatements: true, useNodeTime: false } },
		logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
		hooks: { process: async () => {} },
		middleware: { run: (name, event, action) => action(event) },
	};

	// A new database: the first look at the migrations finds no table.
	const fresh = recorder((text) => {
		if (text.includes('biggest_breaking_id'))
			throw Object.assign(new Error('no such table'), { code: '42P01' });
		return { rows: [{ server_version_num: '150000' }] };
	});
	await migrate(options, fresh);

	const worker = recorder(() => ({ rows: [{ id: 1, identifier: 'loop' }] }));
	const statement = async (action) => {
		await action;
		return worker.last();
	};
	return {
		install: fresh.sent.filter((text) => !/^select /i.test(text)),
		add: await statement(makeAddJob(options, worker.run)('loop', { n: 1 })),
		add_many: await statement(makeAddJobs(options, worker.run)([{ identifier: 'loop' }], false))
			.then((text) => text.replace(/'\[[^']*\]'/, ':jobs')),
		item: { identifier: 'loop', payload: { n: 1 } },
		claim: await statement(batchGetJobs(options, worker.run, { loop: 1 }, ':client_id', null, 1)),
		complete: await statement(batchCompleteJobs(options, worker.run, ':client_id', [{ id: ':id' }])),
		claim_many: await statement(batchGetJobs(options, worker.run, { loop: 1 }, '$1', null, MANY)),
		complete_many: await statement(batchCompleteJobs(options, worker.run, ':client_id', Array(MANY).fill({ id: ':ids' }))),
	};
}

async function pgBoss() {
	const PgBoss = require('pg-boss');
	const Manager = require('pg-boss/src/manager');
	const Attorney = require('pg-boss/src/attorney');
	const plans = require('pg-boss/src/plans');
	const db = recorder(() => ({ rows: [{ id: 1, count: 1 }] }));
	db.executeSql = db.query;
	const manager = new Manager(db, Attorney.getConfig({ connectionString: 'none', schema: 'pgboss' }));
	const statement = async (action) => {
		await action;
		return db.last();
	};
	return {
		install: [PgBoss.getConstructionPlans('pgboss'), await statement(manager.createQueue('loop'))],
		add: await statement(manager.send('loop', { n: 1 })),
		add_many: await statement(manager.insert([{ name: 'loop' }]))
			.then((text) => text.replace(/'\[[^']*\]'/, ':jobs')),
		item: { name: 'loop', data: { n: 1 } },
		claim: await statement(manager.fetch('loop', { batchSize: 1 })),
		complete: await statement(manager.complete('loop', [':id'])),
		claim_many: await statement(manager.fetch('loop', { batchSize: MANY })),
		complete_many: await statement(manager.complete('loop', [':ids'])),
	};
}

async function main() {
	const version = (name) => require(`${name}/package.json`).version;
	const peers = {
		'graphile-worker': { version: version('graphile-worker'), ...(await graphileWorker()) },
		'pg-boss': { version: version('pg-boss'), ...(await pgBoss()) },
	};
	console.log(JSON.stringify(peers, null, 1));
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
