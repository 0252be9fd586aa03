-- The utterances of each bot's latest snapshot, each once, with how often it is there.
with utterances as (
    select * from {{ source('koreai', 'utterances') }}
),

latest as (
    select bot_id, max(snapshot) as snapshot from utterances group by bot_id
)

select
    md5(jsonb_build_array(bot_id, task_name, sentence, type, language)::text) as utterance_id,
    bot_id,
    snapshot,
    task_name,
    sentence,
    type,
    language,
    count(*) as occurrences
from utterances
inner join latest using (bot_id, snapshot)
group by bot_id, snapshot, task_name, sentence, type, language
