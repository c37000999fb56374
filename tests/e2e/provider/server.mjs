// The certified identity provider of the end-to-end tests: npm `oidc-provider`, loopback only.
//
// Settings come as one JSON document in the first argument:
//   {port, issuer, clients: [...], ttl: {AccessToken}, resource, control}
// `control` is a port at which tests change what it does and read what it counted: see control.mjs.
// When it listens it prints one line, `ready`. It logs every token it issues as a line
// `issued <value>`, so that a test can look for them where they must not be.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';
import { Control } from './control.mjs';
import { planRefreshing } from './refreshing.mjs';

const settings = JSON.parse(process.argv[2]);
const control = new Control(settings.control);
const lifetime = (ctx) => (
  ctx.oidc.params?.grant_type === 'refresh_token' ? control.plan.next : control.plan.first
);

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'e2e-1', use: 'sig', alg: 'RS256' };

const accounts = {
  ada: { sub: 'ada', name: 'Ada Lovelace', email: 'ada@example.org', email_verified: true },
  grace: { sub: 'grace', name: 'Grace Hopper', email: 'grace@example.org', email_verified: true },
};

function page(ctx, title, body) {
  ctx.type = 'html';
  ctx.body = `<!doctype html><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${body}`;
}

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  jwks: { keys: [jwk] },
  cookies: { keys: ['not a secret: the accounts of this provider are made up'] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  findAccount: async (ctx, id) => {
    const account = accounts[id] ?? { sub: id, name: id };
    return { accountId: id, claims: async () => account };
  },
  // Every login of the tests is granted what it asks for: there is nobody to ask.
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email offline_access');
    grant.addResourceScope(settings.resource, 'orders.read orders.write');
    await grant.save();
    return grant;
  },
  rotateRefreshToken: () => control.plan.rotates,
  issueRefreshToken: async (ctx, client, code) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: lifetime, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 86400,
    Session: 86400, Grant: 86400, Interaction: 600, ...settings.ttl,
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  // It would post to no loopback address, which is where every client of the tests is.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  renderError: async (ctx, out) => page(ctx, 'Provider error', `<pre>${out.error}</pre>`),
  features: {
    devInteractions: { enabled: false }, // its pages ask the network for fonts
    revocation: { enabled: true },
    introspection: { enabled: true },
    userinfo: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: async (ctx, form) => {
        page(ctx, 'Log out?', `${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`);
      },
      postLogoutSuccessSource: async (ctx) => page(ctx, 'Logged out at the provider', ''),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'orders.read orders.write',
        audience: settings.resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

// The login page: one form, any account name, no password.
provider.use(async (ctx, next) => {
  const match = /^\/interaction\/([\w-]+)$/.exec(ctx.path);
  if (!match) return next();
  if (ctx.method === 'GET') {
    const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name === 'consent') {
      return provider.interactionFinished(ctx.req, ctx.res, { consent: {} }, { mergeWithLastSubmission: true });
    }
    return page(ctx, 'Log in at the provider', `<form method="post">
      <label>Account <input name="login" value="ada" autofocus></label>
      <button name="act" value="login">Log in</button><button name="act" value="deny">Deny</button></form>`);
  }
  let body = '';
  for await (const piece of ctx.req) body += piece;
  const form = new URLSearchParams(body);
  const result = form.get('act') === 'deny'
    ? { error: 'access_denied', error_description: '<script>alert(1)</script>' }
    : { login: { accountId: form.get('login') } };
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/token') {
    for (const name of ['access_token', 'refresh_token', 'id_token']) {
      if (ctx.body?.[name]) console.log(`issued ${ctx.body[name]}`);
    }
    console.log(`token ${ctx.oidc?.params?.grant_type ?? '-'} ${ctx.status}`);
  }
  if (ctx.path === '/token/revocation') console.log(`revoked ${ctx.status}`);
});
planRefreshing(provider, control);
provider.on('backchannel.success', (ctx, client) => console.log(`backchannel ${client.clientId} told`));
provider.on('backchannel.error', (ctx, error) => console.log(`backchannel failed: ${error.message} ${error.cause ?? ''}`));
provider.on('server_error', (ctx, error) => console.log(`error ${error.message}`));

const server = provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
control.guard(server);
process.on('SIGTERM', () => {
  control.close();
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
