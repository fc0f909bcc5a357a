wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"bench","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Say in two sentences what a gate is for, and who should be let in."}],"temperature":0.7,"max_tokens":200}'
