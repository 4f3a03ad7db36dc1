-- Attempts statements as a role in a context, each in a subtransaction that is rolled back, and leaves what came of
-- them in a setting, because nothing can be written in a transaction that only reads. src/policies/proof.ts prepares
-- the statements. A statement_timeout ends all of them together.
do $$
declare
  attempt jsonb;
  own bigint;
  others bigint;
  results text[] := '{}';
begin
  begin
    execute current_setting('audit.enter');
    for attempt in select * from jsonb_array_elements(current_setting('audit.attempts')::jsonb) loop
      begin
        own := null;
        others := null;
        case attempt ->> 'kind'
          when 'count' then execute attempt ->> 'sql' into own, others;
          when 'plan' then execute attempt ->> 'sql';
          else
            execute attempt ->> 'sql';
            get diagnostics others = row_count;
        end case;
        raise exception using errcode = 'ZZ001', message = json_build_array(own, others);
      exception
        when sqlstate 'ZZ001' then results := results || sqlerrm;
        when others then results := results || json_build_array(sqlstate, sqlerrm)::text;
      end;
    end loop;
    raise exception using errcode = 'ZZ002';
  exception
    when sqlstate 'ZZ002' then null;
  end;
  perform set_config('audit.results', array_to_json(results)::text, true);
end
$$
