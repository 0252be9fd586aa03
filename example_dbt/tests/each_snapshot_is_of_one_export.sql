-- A load replaces a snapshot whole, so all its rows are of one export. This finds what was written past it.
select bot_id, snapshot
from {{ source('koreai', 'utterances') }}
group by bot_id, snapshot
having count(distinct loaded_at) > 1
