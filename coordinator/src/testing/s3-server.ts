/** An S3-compatible server of this process, on files. */
import S3rver from "s3rver";

export interface S3Server {
  /** For `--blobs`. */
  locationOf(prefix: string): string;
  /** The environment in which its keys are found. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const BUCKET = "consilium";

export async function startS3Server(folder: string): Promise<S3Server> {
  const server = new S3rver({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory: folder,
    configureBuckets: [{ name: BUCKET, configs: [] }],
  });
  const { port } = await server.run();
  const env = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };
  Object.assign(process.env, env);
  const endpoint = encodeURIComponent(`http://127.0.0.1:${port}`);
  return {
    locationOf: (prefix) => `s3://${BUCKET}/${prefix}?endpoint=${endpoint}`,
    env,
    close: () => server.close(),
  };
}
