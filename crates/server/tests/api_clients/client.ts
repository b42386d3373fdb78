// Calls the API with the types that openapi-typescript generates.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string> };

const { CHATCAMP_URL, CHATCAMP_API_KEY } = process.env;
const client = createClient<paths>({ baseUrl: CHATCAMP_URL, headers: { "x-api-key": CHATCAMP_API_KEY } });

function equal<T>(actual: T, expected: T): void {
  if (actual !== expected) throw new Error(`${JSON.stringify(actual)} is not ${JSON.stringify(expected)}`);
}

/** Returns the body of a success. */
function ok<T>({ data, error }: { data?: T; error?: components["schemas"]["Refusal"] }): T {
  if (error) throw new Error(error.error.code);
  if (data === undefined) throw new Error("there is no body");
  return data;
}

const id = "tess";
const idempotent = { header: { "Idempotency-Key": "create-tess" } };
const fields = { id, display_name: "Tess", is_suspended: false, metadata: { plan: "pro" } };
const created = ok(await client.POST("/api/2.0/users.create", { params: idempotent, body: fields }));
const name: string = created.user.display_name;
equal(name, "Tess");
const claimed: boolean | undefined = created.claimed;
equal(claimed, false);

const found = ok(await client.POST("/api/2.0/users.get", { body: { id } }));
const token: string | undefined = found.access_token;
equal(token, created.access_token);
equal(found.user.metadata.plan, "pro");

const page = ok(await client.POST("/api/2.0/users.list", { body: { prefix: id, limit: 20 } }));
equal(page.users.length, 1);
const reference: string | undefined = page.reference;
equal(reference, undefined);

const event = { id, type: "order.shipped", data: { order: 17 } };
const { delivered, queued } = ok(await client.POST("/api/2.0/users.publish", { body: event }));
equal<number>(delivered + queued, 0);

const revoked = ok(await client.POST("/api/2.0/users.revoke_tokens", { body: { id } }));
equal(revoked.access_token_set, false);
const without: string | undefined = revoked.access_token;
equal(without, undefined);

const { error, response } = await client.POST("/api/2.0/users.get", { body: { id: "nobody" } });
equal(response.status, 404);
const code: string | undefined = error?.error.code;
equal(code, "USER_NOT_FOUND");
