// Waits until the audit of the server at ROOMCAST_URL is all zeros: the server holds nothing of any client.

const DEADLINE_MS = 30_000;

const url = `${process.env.ROOMCAST_URL}/debug/audit`;
const start = Date.now();
let left;
do {
  left = nonZero(await (await fetch(url, { headers: { connection: "close" } })).json());
  if (left.length === 0) process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
} while (Date.now() - start < DEADLINE_MS);
console.error(`after ${DEADLINE_MS} ms the server still holds: ${left.join(", ")}`);
process.exit(1);

/** The paths of all numbers that are not zero. */
function nonZero(value, path = "") {
  if (typeof value === "number") return value === 0 ? [] : [`${path} ${value}`];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => nonZero(inner, path ? `${path}.${key}` : key));
}
