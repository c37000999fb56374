// How this provider treats refresh grants: slowly, with a grace period, losing its answers; as a
// test has planned. Left alone it does what oidc-provider does: a refresh token that is used a
// second time costs the whole grant.
import { setTimeout as sleep } from 'node:timers/promises';

export function planRefreshing(provider, control) {
  const { RefreshToken } = provider;
  const find = RefreshToken.find.bind(RefreshToken);
  RefreshToken.find = async (...words) => {
    const token = await find(...words);
    const grace = control.plan.grace[token?.accountId];
    if (token?.consumed && grace && Date.now() / 1000 - token.consumed <= grace) {
      token.consumed = undefined;
      token.again = true;
    }
    return token;
  };

  provider.use(async (ctx, next) => {
    if (ctx.path !== '/token') return next();
    const { plan } = control;
    const planned = plan.answers.shift();
    if (planned) {
      control.grants.push({ account: null, outcome: `answered ${planned.status}` });
      ctx.status = planned.status;
      ctx.set(planned.headers ?? {});
      ctx.body = planned.body;
      return undefined;
    }
    await next();
    if (ctx.oidc?.params?.grant_type !== 'refresh_token') return undefined;
    const { RotatedRefreshToken, RefreshToken: held } = ctx.oidc.entities;
    const used = RotatedRefreshToken ?? held;
    control.grants.push({ account: used?.accountId ?? null, outcome: outcome(ctx, used) });
    await sleep(plan.hold * 1000);
    if (plan.lose > 0) {
      plan.lose -= 1;
      ctx.respond = false;
      ctx.req.socket.destroy();
    }
    return undefined;
  });
}

function outcome(ctx, used) {
  if (ctx.status === 200) return used.again ? 'granted again' : 'granted';
  return used?.consumed ? 'used before' : ctx.body?.error ?? `failed ${ctx.status}`;
}
