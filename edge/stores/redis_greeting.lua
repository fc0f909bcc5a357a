-- Whether the server takes what is written: a replica does not, nor does one that is full. KEYS: one that nothing else uses.
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
return redis.status_reply('1')
