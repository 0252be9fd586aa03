-- What changed between each bot's last two snapshots: added, removed, or moved to another task.
with utterances as (
    select * from {{ source('koreai', 'utterances') }}
),

snapshots as (
    select bot_id, snapshot, row_number() over (partition by bot_id order by snapshot desc) as age
    from utterances
    group by bot_id, snapshot
),

surplus as (
    select
        bot_id, task_name, sentence, coalesce(type, '') as type, coalesce(language, '') as language,
        sum(case age when 1 then 1 else -1 end) as number
    from utterances
    inner join snapshots using (bot_id, snapshot)
    where age in (1, 2)
        -- The first snapshot of a bot has nothing to be compared with.
        and bot_id in (select bot_id from snapshots where age = 2)
    group by bot_id, task_name, sentence, type, language
),

-- An utterance that was there twice and is gone was removed twice.
one_by_one as (
    select
        surplus.*,
        number > 0 as came,
        row_number() over (partition by bot_id, sentence, type, language, number > 0 order by task_name) as place
    from surplus
    cross join lateral generate_series(1, abs(number))
),

changes as (
    select
        bot_id, sentence, type, language, place,
        case when gone.came is null then 'added' when here.came is null then 'removed' else 'moved' end as change,
        case when here.came is null then gone.task_name else here.task_name end as task_name,
        case when here.came then gone.task_name end as previous_task_name
    from (select * from one_by_one where came) as here
    full join (select * from one_by_one where not came) as gone
        using (bot_id, sentence, type, language, place)
)

select
    md5(jsonb_build_array(bot_id, sentence, type, language, place)::text) as change_id,
    bot_id,
    change,
    task_name,
    previous_task_name,
    sentence,
    nullif(type, '') as type,
    nullif(language, '') as language
from changes
