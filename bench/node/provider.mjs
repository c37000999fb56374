// The identity provider of the benchmark: npm `oidc-provider`, loopback only, nobody asks anything.
//
// Settings come as one JSON document in the first argument: {port, issuer, client}. When it listens
// it prints one line, `ready`. Access tokens are JWTs of about 1 KB for one audience, ID tokens are
// about as long. A browser without a session of ours becomes the next of made-up people at once.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const audience = 'https://api.example/';
const lifetime = 6 * 3600; // longer than any benchmark: refreshing is measured nowhere

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'bench-1', use: 'sig', alg: 'RS256' };

// What makes real tokens long: groups and permissions.
const groups = ['buyers', 'approvers', 'warehouse-north', 'reports'];
const permissions = [
  'orders.read', 'orders.write', 'orders.approve', 'invoices.read', 'stock.read', 'customers.read',
  'reports.read', 'shipments.read',
];

const provider = new Provider(settings.issuer, {
  clients: [settings.client],
  jwks: { keys: [jwk] },
  cookies: { keys: ['not a secret: the people of this provider are made up'] },
  pkce: { required: () => true },
  claims: {
    openid: ['sub'], profile: ['name', 'preferred_username', 'groups', 'locale', 'zoneinfo'],
    email: ['email', 'email_verified'],
  },
  conformIdTokenClaims: false,
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id, name: `Person ${id}`, preferred_username: id, groups, locale: 'en-GB',
      zoneinfo: 'Europe/Vienna', email: `${id}@people.example.org`, email_verified: true,
    }),
  }),
  extraTokenClaims: async () => ({ groups, permissions, tenant: 'example' }),
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile email offline_access');
    grant.addResourceScope(audience, 'orders.read');
    await grant.save();
    return grant;
  },
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: lifetime, AuthorizationCode: 60, IdToken: lifetime, RefreshToken: lifetime,
    Session: lifetime, Grant: lifetime, Interaction: 600,
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    userinfo: { enabled: false }, // the ID token says everything; nobody asks twice
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'orders.read', audience, accessTokenFormat: 'jwt', accessTokenTTL: lifetime,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

let people = 0;
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  people += 1;
  const result = { login: { accountId: `person-${String(people).padStart(5, '0')}` }, consent: {} };
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
});
provider.on('server_error', (ctx, error) => console.log(`error ${error.stack}`));
provider.on('authorization.error', (ctx, error) => console.log(`refused ${error.error_description}`));
provider.on('grant.error', (ctx, error) => console.log(`refused ${error.error_description}`));

const server = provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
