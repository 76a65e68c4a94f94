-- Everything that the extension is made of, a line each, in words that are the same in
-- every database where it is the same: what is compared after an update, and after
-- pg_upgrade. Dropped columns are not seen; the order of the others is.
SET search_path = pg_catalog, pg_temp;

-- Since 17 the types of rows and arrays, which the server makes of itself, are
-- members as well; they are left out.
CREATE TEMP TABLE member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'jobs' AND d.deptype = 'e'
	AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
			AND (t.typcategory = 'A' OR c.relkind <> 'c'));

-- What is granted, be it said or by default. Without the names of roles: owners are
-- whoever installed it.
CREATE FUNCTION pg_temp.privileges(acl aclitem[], kind "char", owner oid) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s=%s', CASE a.grantee WHEN owner THEN 'owner' WHEN 0 THEN 'public'
		ELSE a.grantee::regrole::text END, a.privilege_type), ' '
		ORDER BY a.grantee <> owner, a.grantee, a.privilege_type), 'nothing')
	FROM aclexplode(coalesce(acl, acldefault(kind, owner))) a
$$;

CREATE TEMP VIEW line AS
SELECT format('version|%s', extversion) AS line FROM pg_extension WHERE extname = 'jobs'
UNION ALL
SELECT format('dumped|%s|%s', c.oid::regclass, cond)
FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS t(oid, cond) JOIN pg_class c ON c.oid = t.oid
WHERE e.extname = 'jobs'
UNION ALL
SELECT format('member|%s|%s', name, obj_description(objid, classid::regclass::name)) FROM member
UNION ALL
SELECT format('schema|%s|%s', n.nspname, pg_temp.privileges(n.nspacl, 'n', n.nspowner))
FROM pg_namespace n JOIN member m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
UNION ALL
SELECT format('function|%s|%s|%s', p.oid::regprocedure, pg_temp.privileges(p.proacl, 'f', p.proowner), pg_get_functiondef(p.oid))
FROM pg_proc p JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
WHERE p.prokind <> 'a'
UNION ALL
SELECT format('relation|%s|%s|%s|%s|%s|%s|%s|%s|%s', c.oid::regclass, c.relkind, c.relpersistence, c.relrowsecurity,
	c.relreplident, c.reloptions, a.amname, pg_temp.privileges(c.relacl,
		CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner),
	CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END)
FROM pg_class c JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
	LEFT JOIN pg_am a ON a.oid = c.relam
UNION ALL
SELECT format('sequence|%s|%s', s.seqrelid::regclass, to_jsonb(s) - 'seqrelid')
FROM pg_sequence s JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = s.seqrelid
UNION ALL
SELECT format('column|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s', a.attrelid::regclass,
	rank() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), a.attname, format_type(a.atttypid, a.atttypmod),
	a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression, a.attcollation::regcollation,
	nullif(a.attstattarget, -1), a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
FROM pg_attribute a JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = a.attrelid
	LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('constraint|%s|%s|%s|%s|%s', c.conrelid::regclass, c.contypid::regtype, c.conname, pg_get_constraintdef(c.oid),
	obj_description(c.oid, 'pg_constraint'))
FROM pg_constraint c
WHERE (c.conrelid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)
	OR c.contypid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass))
UNION ALL
SELECT format('index|%s|%s|%s|%s', pg_get_indexdef(i.indexrelid), i.indisvalid, c.reloptions, obj_description(c.oid, 'pg_class'))
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = i.indrelid
UNION ALL
SELECT format('trigger|%s|%s|%s', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
FROM pg_trigger t JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT format('type|%s|%s|%s|%s|%s|%s|%s', t.oid::regtype, t.typtype, t.typlen, t.typbyval, t.typalign, t.typnotnull,
	pg_temp.privileges(t.typacl, 'T', t.typowner))
FROM pg_type t JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
UNION ALL
SELECT format('label|%s|%s|%s', e.enumtypid::regtype, rank() OVER (PARTITION BY e.enumtypid ORDER BY e.enumsortorder), e.enumlabel)
FROM pg_enum e JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = e.enumtypid
UNION ALL
SELECT format('cast|%s|%s|%s|%s|%s', c.castsource::regtype, c.casttarget::regtype, c.castfunc::regprocedure, c.castcontext, c.castmethod)
FROM pg_cast c JOIN member m ON m.classid = 'pg_cast'::regclass AND m.objid = c.oid
UNION ALL
SELECT format('operator|%s|%s|%s|%s|%s|%s|%s|%s', o.oid::regoperator, o.oprcode, o.oprrest, o.oprjoin, o.oprcanhash,
	o.oprcanmerge, o.oprcom::regoperator, o.oprnegate::regoperator)
FROM pg_operator o JOIN member m ON m.classid = 'pg_operator'::regclass AND m.objid = o.oid
UNION ALL
SELECT format('operator of a family|%s|%s|%s', f.opfname, a.amopstrategy, a.amopopr::regoperator)
FROM pg_amop a JOIN pg_opfamily f ON f.oid = a.amopfamily
	JOIN member m ON m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid
UNION ALL
SELECT format('function of a family|%s|%s|%s', f.opfname, a.amprocnum, a.amproc::regprocedure)
FROM pg_amproc a JOIN pg_opfamily f ON f.oid = a.amprocfamily
	JOIN member m ON m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid;

SELECT replace(line, chr(10), ' ') FROM line ORDER BY line COLLATE "C";
