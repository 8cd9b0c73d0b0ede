"""Values, events, records and orders, and how they are checked and written as JSON.

Everything imports from here, and nothing here imports anything else of hpdist. Open `values`
first. `options` declares limits, retries and timing with their defaults (all other options:
`core.run.options`); `states` the states, end reasons and names of commands; `errors` the exceptions
that users see; `validation` checks what they pass in; `json_codec` bounds the length of a message.
"""
