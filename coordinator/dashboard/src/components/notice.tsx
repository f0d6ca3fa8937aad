import type { ReactNode } from "react";

/** A page with one thing to say. */
export function Notice({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className="card notice" role="status">
      <h1>{title}</h1>
      {children}
    </section>
  );
}
