/** Which chunks of an upload are here, written a few at a time. */
import type { SqlDatabase } from "./database.ts";
import type { Store } from "./store.ts";

/** Chunks that became durable together are recorded together: a commit costs a flush, during which nothing else runs. */
export function chunkRows(db: SqlDatabase): Store["addChunk"] {
  let waiting: (readonly [upload: string, seq: number])[] = [];
  let recorded: Promise<void> | null = null;
  return (upload, seq) => {
    waiting.push([upload, seq]);
    recorded ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      const rows = waiting;
      waiting = [];
      recorded = null;
      db.transaction(() => {
        for (const row of rows)
          db.run("INSERT OR IGNORE INTO upload_chunks (upload, seq) VALUES (?, ?)", row);
      });
    });
    return recorded;
  };
}
