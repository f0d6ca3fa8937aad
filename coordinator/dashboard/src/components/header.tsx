import { ActionIcon, NativeSelect, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import type { FederationId } from "@consilium/shared/ids";
import type { ReactNode } from "react";
import type { Connection } from "../use-federation.ts";

interface HeaderProps {
  readonly connection?: Connection;
  readonly federation?: FederationId;
  readonly others?: readonly FederationId[];
  readonly onChoose?: (federation: FederationId) => void;
}

export function Header({ connection, federation, others = [], onChoose }: HeaderProps): ReactNode {
  return (
    <header className="header">
      <div className="header-inner">
        <span className="brand">
          <img src="./favicon.svg" alt="" width={26} height={26} />
          Consilium
        </span>
        {federation !== undefined && others.length > 1 && (
          <NativeSelect
            aria-label="Federation"
            size="xs"
            data={[...others]}
            value={federation}
            onChange={({ currentTarget }) => {
              const found = others.find((other) => other === currentTarget.value);
              if (found !== undefined) onChoose?.(found);
            }}
          />
        )}
        <span className="spacer" />
        {connection !== undefined && <ConnectionMark connection={connection} />}
        <SchemeButton />
      </div>
    </header>
  );
}

const CONNECTION_TEXT = { connecting: "Connecting", live: "Live", lost: "Reconnecting" } as const;

function ConnectionMark({ connection }: { readonly connection: Connection }): ReactNode {
  return (
    <span className={`connection connection-${connection.kind}`} data-testid="connection">
      <span className="dot" aria-hidden />
      {CONNECTION_TEXT[connection.kind]}
    </span>
  );
}

function SchemeButton(): ReactNode {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const other = scheme === "light" ? "dark" : "light";
  return (
    <ActionIcon
      variant="default"
      size="md"
      aria-label={`Use ${other} colours`}
      title={`Use ${other} colours`}
      onClick={() => {
        setColorScheme(other);
      }}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden fill="currentColor">
        {scheme === "light" ? (
          <path d="M6.2 1.6a6.4 6.4 0 1 0 8.2 8.2A5.4 5.4 0 0 1 6.2 1.6Z" />
        ) : (
          <>
            <circle cx="8" cy="8" r="3.2" />
            <path
              d="M8 .8v2M8 13.2v2M.8 8h2M13.2 8h2M2.9 2.9l1.4 1.4M11.7 11.7l1.4 1.4M2.9 13.1l1.4-1.4M11.7 4.3l1.4-1.4"
              stroke="currentColor"
              strokeWidth="1.5"
              strokeLinecap="round"
            />
          </>
        )}
      </svg>
    </ActionIcon>
  );
}
