-- Least privilege in Postgres. Run it in the database of the worker after each `refunds db upgrade`, as the role that runs
-- it and so owns the tables. The worker's role can use new tables before that; the readers' role sees none of them.
--
--   psql "$OWNER_URL" -f deploy/postgres/roles.sql
--   PGOPTIONS='-c search_path=refunds' psql …        -- where the tables lie in a schema of their own, as docs/joining.md has it
--   create role refunds_app login password '…' in role refunds_worker;      -- what REFUNDS_DATABASE_URL signs in as
--   create role refunds_reader login password '…' in role refunds_looks;    -- for dashboards and people
--
-- The worker cannot change or remove what has happened: postings, histories, what people did and looked at, disputes. A
-- worker that was taken over can add wrong rows, which the audit shows, and cannot make right ones disappear.

-- as a whole or not at all: between what all tables are given and what the history is not a worker could change it
begin;

do $$
begin
  if not exists (select from pg_roles where rolname = 'refunds_worker') then create role refunds_worker nologin; end if;
  if not exists (select from pg_roles where rolname = 'refunds_looks') then create role refunds_looks nologin; end if;
end $$;

-- in the schema that the session is in: of a database shared with the product that is not `public` (see above)
do $$
declare
  s text := quote_ident(current_schema());
begin
  execute format('revoke create on schema %s from public', s);
  execute format('grant usage on schema %s to refunds_worker, refunds_looks', s);
  execute format('grant select, insert, update on all tables in schema %s to refunds_worker', s);
  execute format('grant usage on all sequences in schema %s to refunds_worker', s);
  execute format('grant select on all tables in schema %s to refunds_looks', s);
  execute format('alter default privileges in schema %s grant select, insert, update on tables to refunds_worker', s);
  execute format('alter default privileges in schema %s grant usage on sequences to refunds_worker', s);
end $$;

-- short-lived rows: who is at work, and at which case, who is signed in, what is held up; differences in the number of cases,
-- folded into sums
grant delete on breakers, leases, wakings, sessions, sign_ins, case_tallies to refunds_worker;
-- what has happened stays as it was written
revoke update on postings, case_history, actions, approvals, chain_links, evidence_looks, disputes, alembic_version from refunds_worker;
revoke insert on alembic_version from refunds_worker;
-- where the history lies by month (history_by_month.sql) its parts are reached through the whole and need no rights
do $$
declare
  part regclass;
begin
  for part in select inhrelid from pg_inherits where inhparent = 'case_history'::regclass loop
    execute format('revoke all on %s from refunds_worker, refunds_looks', part);
  end loop;
end $$;

-- people and dashboards: everything but who may sign in, and the texts of customers
revoke select on operators, sessions, sign_ins, inbox, dead_letters, requests, evidence from refunds_looks;

commit;
