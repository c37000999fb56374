// A backend for frontends as many are built: Express, express-session with Redis, a proxy middleware.
//
// Settings come as one JSON document in the first argument:
//   {port, origin, issuer, clientId, clientSecret, redis, api, channels, secret}
// When it listens it prints one line, `ready`.
import http from 'node:http';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createProxyMiddleware } from 'http-proxy-middleware';
import * as client from 'openid-client';
import { createClient } from 'redis';

const settings = JSON.parse(process.argv[2]);
const callback = `${settings.origin}/callback`;

const redis = createClient({ url: settings.redis });
await redis.connect();
const provider = await client.discovery(
  new URL(settings.issuer), settings.clientId, settings.clientSecret,
  client.ClientSecretBasic(settings.clientSecret), { execute: [client.allowInsecureRequests] },
);

const app = express();
app.disable('x-powered-by');
app.use(session({
  store: new RedisStore({ client: redis, prefix: 'express:' }),
  secret: settings.secret,
  name: 'bff.sid',
  resave: false,
  saveUninitialized: false,
  cookie: { httpOnly: true, sameSite: 'lax', maxAge: 6 * 3600 * 1000 },
}));

app.get('/login', async (request, response) => {
  const verifier = client.randomPKCECodeVerifier();
  const attempt = { verifier, state: client.randomState(), nonce: client.randomNonce() };
  request.session.attempt = attempt;
  const target = client.buildAuthorizationUrl(provider, {
    redirect_uri: callback,
    scope: 'openid profile email offline_access orders.read',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: attempt.state,
    nonce: attempt.nonce,
  });
  response.redirect(target.href);
});

app.get('/callback', async (request, response) => {
  const { attempt } = request.session;
  const tokens = await client.authorizationCodeGrant(provider, new URL(request.url, settings.origin), {
    pkceCodeVerifier: attempt.verifier, expectedState: attempt.state, expectedNonce: attempt.nonce,
  });
  const claims = tokens.claims();
  await new Promise((done, failed) => request.session.regenerate((error) => (error ? failed(error) : done())));
  request.session.user = { sub: claims.sub, name: claims.name, email: claims.email };
  request.session.tokens = {
    access: tokens.access_token, refresh: tokens.refresh_token, id: tokens.id_token,
    expiresAt: Date.now() + tokens.expiresIn() * 1000,
  };
  response.redirect('/');
});

app.get('/', (request, response) => response.json({ user: request.session.user ?? null }));

function signedIn(request, response, next) {
  if (request.get('x-csrf') !== '1') return response.status(403).json({ code: 'csrf' });
  if (!request.session.tokens) return response.status(401).json({ code: 'session' });
  return next();
}

function passTo(target) {
  return createProxyMiddleware({
    target,
    changeOrigin: true,
    agent: new http.Agent({ keepAlive: true, maxSockets: Infinity }),
    on: {
      proxyReq: (outgoing, request) => {
        outgoing.removeHeader('cookie');
        outgoing.setHeader('authorization', `Bearer ${request.session.tokens.access}`);
      },
    },
  });
}
app.use('/api', signedIn, passTo(settings.api));
app.use('/channels', signedIn, passTo(settings.channels));

const server = app.listen(settings.port, '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
