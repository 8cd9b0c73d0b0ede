"""Values, events, records and orders, and how they are checked and written as JSON.

Everything imports from here, and nothing here imports anything else of hpdist. Open `values`
first. `limits_and_timing` declares the limits on counts, cost and retries, leases and heartbeats
(all other options, such as grace: `core.run.options`); `states` the states, kinds of failure, end
reasons and commands; `events` events and records; `errors` the exceptions that users see;
`validation` checks what they pass in; `json_codec` bounds the length of a message.
"""
