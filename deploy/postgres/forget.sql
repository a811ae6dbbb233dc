-- A customer who asks to be forgotten: what they wrote, and how they are reached, is taken out of the books; what was decided stays,
-- with the facts that decided it (docs/operating.md, "A customer who asks to be forgotten"). Run it as the owner of the tables:
--
--   psql "$OWNER_URL" --single-transaction -v ON_ERROR_STOP=1 -c "set refunds.forget = 'acc_7'" -f deploy/postgres/forget.sql
--
-- It refuses while anything of theirs is open, lies in the folder of customers' files, or is on its way to them. What it leaves,
-- because the audit holds it against its hash for ever: the documents as they came in (`inbox`) and the history of their cases.

do $$
declare
  who text := current_setting('refunds.forget', true);
  their_cases text[];
  open_case text;
begin
  -- as every step does that touches a case of theirs
  perform from accounts where account_id = who for update;
  if not found then
    raise exception 'no account %: name one, set refunds.forget = ''acc_7''', coalesce(who, 'is named');
  end if;
  their_cases := array(select case_id from cases where account_id = who);
  select case_id into open_case from cases
   where account_id = who and state not in ('refunded', 'delivered', 'declined', 'nothing_owed', 'external') order by case_id limit 1;
  if open_case is not null then
    raise exception 'account % has % to be decided first', who, open_case;
  end if;
  if exists (select from evidence where case_id = any(their_cases) and state in ('kept', 'deleting')) then
    raise exception 'files of account % lie there still: they go within the hours that the terms give them after the decision', who;
  end if;
  if exists (select from notices where account_id = who and state in ('due', 'sending')) then
    raise exception 'a letter to account % is on its way', who;
  end if;
  -- what a mail named stays: by that the decision is explained
  update requests set sender = null, message_id = null, subject = '', text = '', verdict_detail = '', problems = '[]',
                      named = named || '{"addresses": [], "words": [], "own": []}'
   where case_id = any(their_cases);
  update evidence set name = 'forgotten' where case_id = any(their_cases);
  update notices set sent_to = 'forgotten', detail = null where account_id = who and sent_to is not null;
  update accounts set email = null, status = 'deleted' where account_id = who;
end $$;
