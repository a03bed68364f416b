// Tokens, good and bad.

import { createHmac } from "node:crypto";

export const SECRET = process.env.JWT_SECRET ?? "conformance-secret-conformance-secret";
export const seconds = () => Math.floor(Date.now() / 1000);

export function token(claims, { header = {}, secret = SECRET, hash = "sha256" } = {}) {
  const signed = [{ alg: "HS256", typ: "JWT", ...header }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

const claims = (more) => ({ sub: "ada", exp: seconds() + 3600, ...more });

export const good = (more) => token(claims(more));

/** What must be refused, by name. `undefined` in a claim leaves it out. */
export const bad = {
  "no token": () => undefined,
  "a number": () => 7,
  "an empty string": () => "",
  "two parts": () => good().split(".").slice(0, 2).join("."),
  "four parts": () => `${good()}.x`,
  "another secret": () => token(claims(), { secret: "another-secret-another-secret-another" }),
  "a changed claim": () => {
    const [head, , signature] = good().split(".");
    return [head, Buffer.from(JSON.stringify(claims({ sub: "eve" }))).toString("base64url"), signature].join(".");
  },
  "alg none": () => {
    const [, body] = good().split(".");
    return `${Buffer.from('{"alg":"none"}').toString("base64url")}.${body}.`;
  },
  "alg HS512": () => token(claims(), { header: { alg: "HS512" }, hash: "sha512" }),
  "alg in lower case": () => token(claims(), { header: { alg: "hs256" } }),
  "no exp": () => token(claims({ exp: undefined })),
  "exp a string": () => token(claims({ exp: String(seconds() + 3600) })),
  "exp past": () => token(claims({ exp: seconds() - 1 })),
  "no sub": () => token(claims({ sub: undefined })),
  "sub a number": () => token(claims({ sub: 1 })),
  "nbf to come": () => token(claims({ nbf: seconds() + 600 })),
  "a crit it does not know": () => token(claims(), { header: { crit: ["b64"], b64: false } }),
  "more than 16384 bytes": () => token(claims({ filling: "x".repeat(16_384) })),
  "claims that are no object": () => token([]),
};

/** What must be accepted, by name. */
export const accepted = {
  "sub and exp": () => good(),
  "exp a thousand years ahead, with a fraction": () => good({ exp: seconds() + 31_557_600_000.5 }),
  "nbf past": () => good({ nbf: seconds() - 60 }),
  "kid, jku, jwk and x5u, which are ignored": () =>
    token(claims(), { header: { kid: "../../x", jku: "http://127.0.0.1:1/", jwk: {}, x5u: "http://127.0.0.1:1/" } }),
  "exactly 16384 bytes": () => {
    // base64url grows in steps; pad the header, then the claims, to hit the limit.
    for (let pad = 12_000; pad < 12_300; pad += 1) {
      for (const kid of ["", "a", "ab"]) {
        const candidate = token(claims({ filling: "x".repeat(pad) }), { header: { kid } });
        if (candidate.length === 16_384) return candidate;
      }
    }
    throw new Error("no padding gives 16384 bytes");
  },
};
