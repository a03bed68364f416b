// Packets as the timeline shows them: what an Engine.IO packet is called, and what is in it.

/** As engine.io-client hands them over. */
export interface EnginePacket {
  type: string;
  data?: string | ArrayBuffer | Blob | ArrayBufferView;
}

export interface Described {
  /** The packet's name: of Engine.IO, and of Socket.IO within a message. */
  type: string;
  /** The event, or what else tells packets of one type apart. */
  label: string;
  /** Heartbeats and handshakes, which carry nothing of the application. */
  isControl: boolean;
  bytes: number;
  /** The payload, as text. */
  detail: string;
}

/** Numbers of Socket.IO's packet types. */
const SOCKET_TYPES = ["connect", "disconnect", "event", "ack", "connect error", "binary event", "binary ack"];

/** Type, attachments, namespace, id and payload of a Socket.IO packet. */
const SOCKET_PACKET = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*),)?(\d+)?(.*)$/s;

const encoder = new TextEncoder();

export function describe(packet: EnginePacket): Described {
  const { type, data } = packet;
  if (data !== undefined && typeof data !== "string") {
    const bytes = data instanceof Blob ? data.size : data.byteLength;
    return { type: "attachment", label: "", isControl: false, bytes: bytes, detail: hex(data) };
  }
  const text = data ?? "";
  // One more for Engine.IO's own type.
  const bytes = encoder.encode(text).length + 1;
  if (type !== "message") return { type, label: "", isControl: true, bytes, detail: pretty(text) };
  const [, number, attachments, , id, payload = ""] = SOCKET_PACKET.exec(text) ?? [];
  if (number === undefined) return { type, label: "", isControl: false, bytes, detail: text };
  const name = SOCKET_TYPES[Number(number)] ?? number;
  const args = parse(payload);
  const isEvent = (number === "2" || number === "5") && Array.isArray(args);
  const label = isEvent ? String(args[0]) + about(args[1]) : id === undefined ? "" : `#${id}`;
  const more = attachments ? ` +${attachments}` : "";
  const asks = isEvent && id !== undefined ? `  ack #${id}` : "";
  return { type: name + more, label: label + asks, isControl: number === "0", bytes, detail: pretty(payload) };
}

/** What an event is about: the front end's events have a type within. */
function about(argument: unknown): string {
  const data = (argument as { data?: { type?: unknown } } | null)?.data;
  return typeof data?.type === "string" ? ` · ${data.type}` : "";
}

function pretty(text: string): string {
  const value = parse(text);
  // Updates and states are long lists of small integers.
  const short = (_key: string, part: unknown) =>
    Array.isArray(part) && part.length > 8 && part.every((item) => typeof item === "number")
      ? `${part.length} bytes: ${part.slice(0, 16).map(byte).join(" ")}${part.length > 16 ? " …" : ""}`
      : part;
  return value === undefined ? text : JSON.stringify(value, short, 2);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function hex(data: ArrayBuffer | Blob | ArrayBufferView): string {
  if (data instanceof Blob) return `${data.size} bytes`;
  const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return `${bytes.length} bytes: ${[...bytes.subarray(0, 64)].map(byte).join(" ")}${bytes.length > 64 ? " …" : ""}`;
}

const byte = (value: unknown): string => Number(value).toString(16).padStart(2, "0");

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
