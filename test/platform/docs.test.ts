import { t } from '../support/tap.ts'
import { startServer } from '../support/helper.ts'

t.test('the page at /docs', async t => {
  const { app } = await startServer(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)

  await t.test('loads nothing external, and everything it loads exists', async t => {
    const policy = String(page.headers['content-security-policy'])
    const directives = new Map(policy.split('; ').map(directive => [directive.split(' ', 1)[0], directive]))
    t.equal(directives.get('default-src'), "default-src 'none'")
    t.equal(directives.get('script-src'), "script-src 'self'")
    // Without TLS a browser would request each part over https, and show nothing.
    t.notOk(directives.has('upgrade-insecure-requests'))
    t.notMatch(policy, /https?:|\*|unsafe-eval|script-src [^;]*unsafe-inline/)
    const parts = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path)
    t.ok(parts.length >= 5)
    for (const path of parts) t.equal((await app.inject(path)).statusCode, 200, path)
    t.notMatch(page.body, /<script>|<style>|onclick=/)
  })

  await t.test('shows the document that is served, and sends it to no validator', async t => {
    const script = await app.inject('/docs/static/swagger-initializer.js')
    t.match(script.body, /"validatorUrl":\s*null/)
    const [shown, served] = [await app.inject('/docs/json'), await app.inject('/openapi.json')]
    t.same(shown.json(), served.json())
  })
})
