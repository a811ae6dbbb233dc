-- The history of cases by month: a fifth of all bytes, and the one large table whose rows no unique key has to guard, so that
-- months are possible (docs/sizing.md). Run it as the owner, in one transaction, while nothing else runs or in a quiet minute:
-- it takes the table's lock, and is done at once, for the rows stay where they are.
--
--   psql "$OWNER_URL" --single-transaction -f deploy/postgres/history_by_month.sql
--
-- What there is becomes the partition `case_history_before`. Repeated by cron once a month it only adds months: three are always
-- ahead, and `case_history_rest` takes what none was made for. Nothing in the product has to know. Old months can be put on
-- slower disks (`alter table … set tablespace`) or dumped alone; the audit reads them all, so none may be detached.

do $$
declare
  first_month date := date_trunc('month', now() at time zone 'utc')::date + interval '1 month';
  month date;
  kept text;
  change text;
begin
  if not exists (select from pg_partitioned_table where partrelid = 'case_history'::regclass) then
    alter table case_history rename to case_history_before;
    alter table case_history_before rename constraint pk_case_history to pk_case_history_before;
    alter index ix_case_history_case rename to ix_case_history_before_case;
    create table case_history (like case_history_before including defaults) partition by range (at);
    alter table case_history add constraint fk_case_history_by_month_case_id foreign key (case_id) references cases;
    create index ix_case_history_case on case_history (case_id, id);
    -- a row of next month may have come in already, by a clock that is ahead
    execute format(
      'alter table case_history attach partition case_history_before for values from (minvalue) to (%L)',
      greatest(first_month, (select date_trunc('month', max(at) at time zone 'utc') + interval '1 month' from case_history_before))::date
        || 'T00:00:00Z');
    create table case_history_rest partition of case_history default;
    -- the chain of hashes goes by id; not on the whole table, for then the old rows would get a second one
    create index ix_case_history_rest_id on case_history_rest (id);
    -- who may do what stays as it was
    kept := (select coalesce(string_agg(format('grant %s on case_history to %I', privilege_type, grantee), '; '), 'select 1')
             from information_schema.role_table_grants
             where table_name = 'case_history_before' and table_schema = current_schema() and grantee <> grantor);
    execute (select coalesce(string_agg(format('alter sequence %s owned by case_history.id', s), ''), 'select 1')
             from pg_get_serial_sequence('case_history_before', 'id') s where s is not null);
  end if;
  for ahead in 0..3 loop
    month := first_month + make_interval(months => ahead);
    begin
      execute format('create table if not exists %I partition of case_history for values from (%L) to (%L)',
        'case_history_' || to_char(month, 'YYYY_MM'), month || 'T00:00:00Z', (month + interval '1 month')::date || 'T00:00:00Z');
      execute format('create index if not exists %I on %I (id)',
        'ix_case_history_' || to_char(month, 'YYYY_MM') || '_id', 'case_history_' || to_char(month, 'YYYY_MM'));
    exception when invalid_object_definition or check_violation then
      raise notice 'no partition for %: its rows lie in another already', month;
    end;
  end loop;
  -- a new table comes with what most tables are given, which may be more than a history is; its parts are reached through the
  -- whole and need no rights
  for change in
    select distinct
      format('revoke all on %s from %s', t.oid::regclass, case grantee when 0 then 'public' else grantee::regrole::text end)
    from pg_class t, aclexplode(t.relacl)
    where grantee <> relowner
      and (t.oid in (select inhrelid from pg_inherits where inhparent = 'case_history'::regclass)
           or (kept is not null and t.oid = 'case_history'::regclass))
  loop
    execute change;
  end loop;
  if kept is not null then execute kept; end if;
end $$;
