import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { t } from '../support/tap.ts'
import { aShow, register, startServer, until } from '../support/helper.ts'

const requestTimeout = 1

async function listen(t: Test, settings: Record<string, string> = {}) {
  const server = await startServer(t, settings)
  const base = await server.app.listen({ host: '127.0.0.1', port: 0 })
  return { ...server, base, port: Number(new URL(base).port) }
}

t.test('every response has the headers that keep browsers safe', async t => {
  const server = await startServer(t)
  const ana = await register(server, 'Ana')
  for (const [request, status, token] of [
    ['GET /livez', 200],
    ['GET /api/shows', 200, ana.token],
    ['GET /api/shows', 401],
    ['GET /nowhere', 404],
    ['POST /livez', 405],
  ] as const) {
    const { headers, ...answer } = await server.call(request, { token })
    t.equal(answer.status, status, request)
    t.match(headers, {
      'content-security-policy': /default-src 'none'/,
      'x-content-type-options': 'nosniff',
      'x-frame-options': /DENY|SAMEORIGIN/,
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'x-request-id': /^[\w-]{8,}$/,
    })
    t.notOk('x-powered-by' in headers)
    t.notOk('strict-transport-security' in headers, 'which would be a promise for the whole host')
  }
})

t.test('browsers may call from the listed origins, and from no others', async t => {
  const { app } = await startServer(t, { CORS_ORIGINS: 'https://app.example, http://localhost:5173' })
  const ask = (method: 'GET' | 'OPTIONS', origin: string) =>
    app.inject({
      method,
      url: '/api/shows',
      headers: {
        origin,
        ...(method === 'OPTIONS' && {
          'access-control-request-method': 'PATCH',
          'access-control-request-headers': 'authorization,content-type,if-match,idempotency-key',
        }),
      },
    })
  for (const origin of ['https://app.example', 'http://localhost:5173']) {
    const preflight = await ask('OPTIONS', origin)
    t.equal(preflight.statusCode, 204)
    t.match(preflight.headers, {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': /PATCH/,
      'access-control-allow-headers': /authorization.*if-match.*idempotency-key/,
      'access-control-max-age': '600',
      vary: /origin/i,
    })
    t.match((await ask('GET', origin)).headers, {
      'access-control-allow-origin': origin,
      'access-control-expose-headers': /etag.*retry-after.*x-request-id/,
      vary: /origin/i,
    })
  }
  for (const origin of ['https://evil.example', 'https://app.example.evil', 'http://app.example', 'null']) {
    for (const method of ['GET', 'OPTIONS'] as const)
      t.notOk('access-control-allow-origin' in (await ask(method, origin)).headers, origin)
  }
  t.notOk('access-control-allow-credentials' in (await ask('GET', 'https://app.example')).headers)

  const closed = await startServer(t)
  const { headers } = await closed.app.inject({ url: '/livez', headers: { origin: 'https://app.example' } })
  t.notOk('access-control-allow-origin' in headers, 'none without a list')
})

t.test('a request keeps its id if it is harmless', async t => {
  const { call } = await startServer(t)
  const idOf = async (id: string) =>
    (await call('GET /livez', { headers: { 'x-request-id': id } })).headers['x-request-id']
  for (const id of ['01980c5e-8c5e-7b4a-9d59-3f1de6a3c111', 'trace_42-of-the-client', 'a'.repeat(100)])
    t.equal(await idOf(id), id)
  for (const id of [
    'short',
    'a'.repeat(101),
    'with blank',
    '<script>alert(1)</script>',
    '{"level":60}',
    'é'.repeat(10),
  ])
    t.match(await idOf(id), /^[0-9a-f-]{36}$/, id)
  const { headers, body } = await call('GET /nowhere', { headers: { 'x-request-id': 'client-id-42' } })
  t.equal(headers['x-request-id'], 'client-id-42')
  t.equal(body['instance'], 'client-id-42')
})

t.test('a body has a maximum size', async t => {
  const server = await startServer(t, { BODY_LIMIT: '2000' })
  const { token } = await register(server, 'Ana')
  const answer = await server.call('POST /api/shows', { token, body: { ...aShow, notes: 'x'.repeat(2000) } })
  t.equal(answer.status, 413)
  t.match(answer.body, { type: '/problems/payload_too_large' })
  t.equal(
    (await server.call('POST /api/shows', { token, body: { ...aShow, notes: 'x'.repeat(1000) } })).status,
    201,
  )
})

t.test('HEAD is GET without the body', async t => {
  const server = await startServer(t)
  const { token } = await register(server, 'Ana')
  for (const url of ['/livez', '/api/shows', '/api/me']) {
    const headers = { authorization: `Bearer ${token}` }
    const get = await server.app.inject({ method: 'GET', url, headers })
    const head = await server.app.inject({ method: 'HEAD', url, headers })
    t.equal(head.statusCode, 200, url)
    t.equal(head.body, '')
    t.equal(head.headers['content-length'], get.headers['content-length'])
    t.equal(head.headers['etag'], get.headers['etag'])
  }
})

t.test('the health of the process, and of its parts', async t => {
  const { call, db, app } = await startServer(t)
  t.match(await call('GET /livez'), { status: 200, body: { status: 'ok' } })
  t.match(await call('GET /readyz'), {
    status: 200,
    body: { status: 'ok', parts: { database: 'ok', migrations: 'ok', writes: 'ok', server: 'ok' } },
  })
  await db.admin`alter function app.enter(text, uuid, text, inet) rename to entrance`
  t.match(await call('GET /readyz'), {
    status: 503,
    body: { status: 'failing', parts: { database: 'ok', migrations: 'failing', server: 'ok' } },
  })
  await app.close()
  t.equal(
    (await app.inject('/livez').catch(() => ({ statusCode: 503 }))).statusCode,
    503,
    'a stopped server is not ready',
  )
})

t.test('the document and the page that shows it', async t => {
  const { base } = await listen(t)
  const document = await fetch(`${base}/openapi.json`)
  t.equal(document.status, 200)
  t.match(document.headers.get('content-type'), /^application\/json/)
  t.match(await document.json(), { openapi: '3.1.0', info: { title: 'Callboard' } })

  const page = await fetch(`${base}/docs`)
  t.equal(page.status, 200)
  t.match(page.headers.get('content-type'), /^text\/html/)
  const policy = page.headers.get('content-security-policy') ?? ''
  const html = await page.text()
  const directive = (name: string) =>
    (new RegExp(`(?:^|;)\\s*${name} ([^;]*)`).exec(policy) ??
      new RegExp(`(?:^|;)\\s*default-src ([^;]*)`).exec(policy))?.[1] ?? ''
  // What a browser would load, unless the policy forbids it.
  const scripts = [...html.matchAll(/<script[^>]*\ssrc="([^"]+)"/g)].map(([, url = '']) => url)
  const styles = [...html.matchAll(/<link[^>]*\shref="([^"]+)"/g)].map(([, url = '']) => url)
  t.ok(scripts.length > 0 && styles.length > 0)
  t.match(directive('script-src'), /'self'/)
  t.match(directive('style-src'), /'self'/)
  t.match(directive('connect-src'), /'self'/, 'the page requests the document, and what the reader tries out')
  t.match(directive('img-src'), /'self'.*data:|data:.*'self'/)
  t.notMatch(directive('script-src'), /unsafe/)
  t.equal([...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>/g)].length, 0, 'no script within the page')
  for (const url of [...scripts, ...styles]) {
    const answer = await fetch(new URL(url, page.url))
    t.equal(answer.status, 200, url)
    t.ok((await answer.text()).length > 0)
    t.equal(new URL(url, page.url).origin, base, 'nothing external is loaded')
  }
})

t.test('a database that cannot be written is degraded, while it is read', async t => {
  const server = await startServer(t)
  const { call, db } = server
  const { token } = await register(server, 'Ana')
  const post = () => call('POST /api/shows', { token, body: aShow })
  const ready = () => call<{ status: string; parts: { writes: string } }>('GET /readyz')
  // As PostgreSQL says it; the disk of the tests is not filled.
  for (const code of ['53100', '25006']) {
    await db.admin.unsafe(`
      create or replace function app.full_disk() returns trigger language plpgsql set search_path = '' as
        $$begin raise exception using errcode = '${code}', message = 'could not extend file'; end$$;
      create or replace trigger full_disk before insert on app.shows execute function app.full_disk()`)
    t.match(await post(), { status: 503, headers: { 'retry-after': '1' } })
    t.match(await ready(), {
      status: 200,
      body: { status: 'degraded', parts: { writes: 'failing', database: 'ok' } },
    })
    t.equal((await call('GET /api/shows', { token })).status, 200)
    await db.admin`drop trigger full_disk on app.shows`
    t.equal((await post()).status, 201)
    // One that succeeded may have been lucky: the failure counts for ten seconds.
    t.equal((await ready()).body.parts.writes, 'failing')
  }
  await until(async () => (await ready()).body.status === 'ok')
})

t.test('requests that do not arrive in time, or are not HTTP', async t => {
  const server = await listen(t, { REQUEST_TIMEOUT: String(requestTimeout) })
  const { port } = server

  for (const [what, text, status] of [
    ['not HTTP at all', 'HELO mail.example\r\n\r\n', 400],
    ['a header without a colon', 'GET /livez HTTP/1.1\r\nhost: x\r\nnonsense\r\n\r\n', 400],
    [
      'two lengths',
      'POST /api/auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello',
      400,
    ],
    [
      'a length and chunks',
      'POST /api/auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['endless headers', `GET /livez HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(100_000)}\r\n\r\n`, 431],
    ['a path that cannot be decoded', 'GET /%E0%A4%A HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
    [
      'a path with nothing after the percent sign',
      'GET /api/shows/% HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      400,
    ],
  ] as const)
    await t.test(what, async t => {
      isProblem(t, await talk(port, socket => socket.write(text)), status)
    })

  for (const [what, start, drip] of [
    ['headers that drip', 'GET /livez HTTP/1.1\r\nhost: x\r\n', 'x-a: b\r\n'],
    [
      'a body that drips',
      'POST /api/auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{',
      ' ',
    ],
    [
      'a body that drips and that nobody reads',
      'GET /nowhere HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{',
      ' ',
    ],
  ] as const)
    await t.test(what, async t => {
      const began = Date.now()
      const answer = await talk(port, socket => {
        socket.write(start)
        const timer = setInterval(() => socket.write(drip), 50)
        socket.on('close', () => {
          clearInterval(timer)
        })
      })
      isProblem(t, answer, start.includes('nowhere') ? 404 : 408)
      const ms = Date.now() - began
      t.ok(ms >= requestTimeout * 1000 && ms < requestTimeout * 1000 + 2500, `after ${ms} ms`)
    })

  await t.test('a file has as long as it keeps coming, but not for ever', async t => {
    const { token } = await register(server, 'Ana')
    const line = '2027-03-14,Guarantee,5000.00\r\n'
    /** Sends a file in pieces of a size, one every 50 ms, and stops at `silent` bytes. */
    const upload = async (size: number, piece: number, silent = Infinity) => {
      const file = `booked_on,category,amount\r\n${line.repeat(Math.ceil(size / line.length))}`
      const began = Date.now()
      const answer = await talk(port, socket => {
        socket.write(
          `POST /api/imports?resource=finance_records HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${token}\r\ncontent-type: text/csv\r\ncontent-length: ${file.length}\r\n\r\n`,
        )
        let sent = 0
        const timer = setInterval(() => {
          if (sent >= Math.min(silent, file.length)) return
          socket.write(file.slice(sent, sent + piece))
          sent += piece
        }, 50)
        socket.on('close', () => {
          clearInterval(timer)
        })
      })
      return { answer, seconds: (Date.now() - began) / 1000 }
    }
    // 20 kB/s, for three times as long as any other request may take.
    const slow = await upload(60_000, 1000)
    t.match(slow.answer, /^HTTP\/1\.1 201 /)
    t.ok(slow.seconds > requestTimeout * 2.5, `${slow.seconds} s`)
    const silent = await upload(60_000, 20_000, 40_000)
    isProblem(t, silent.answer, 408)
    const drip = await upload(60_000, 10)
    isProblem(t, drip.answer, 408)
    for (const { seconds } of [silent, drip])
      t.ok(seconds >= requestTimeout && seconds < requestTimeout + 2.5, `ended after ${seconds} s`)
  })

  await t.test('and other requests are served meanwhile and afterwards', async t => {
    t.equal((await fetch(`${server.base}/livez`)).status, 200)
  })
})

t.test('a header of which there can be only one is refused if there are two', async t => {
  const server = await startServer(t)
  const { port } = new URL(await server.app.listen({ port: 0, host: '127.0.0.1' }))
  const { token } = await register(server, 'Ana')
  const ask = (...headers: string[]) =>
    talk(Number(port), socket => {
      socket.write(['GET /api/shows HTTP/1.1', ...headers, 'Connection: close', '', ''].join('\r\n'))
    })
  const bearer = `Authorization: Bearer ${token}`
  t.match(await ask('Host: a.example', bearer), /^HTTP\/1\.1 200 /)
  isProblem(t, await ask('Host: a.example', 'host: b.example', bearer), 400)
  isProblem(t, await ask('Host: a.example', bearer, 'Authorization: Bearer another'), 400)
  t.match(
    await ask('Host: a.example', bearer, 'Accept: text/csv', 'Accept: application/json'),
    /^HTTP\/1\.1 200 /,
  )
})

/** Sends text as is and returns what comes back until the server closes the connection. */
function talk(port: number, speak: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const socket = connect(port, '127.0.0.1', () => {
      speak(socket)
    })
    socket.on('data', data => (heard += data.toString()))
    socket.on('error', () => {})
    socket.on('close', () => {
      resolve(heard)
    })
    socket.setTimeout(40_000, () => {
      reject(new Error('the server does not close the connection'))
    })
  })
}

function isProblem(t: Test, answer: string, status: number) {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  t.match(head, new RegExp(`^HTTP/1\\.1 ${status} `))
  t.match(head, /^content-type: application\/problem\+json/im)
  t.match(JSON.parse(body || '{}'), { status, type: /^\/problems\/\w+$/, title: /./, detail: /./ })
}
