import type { Address } from '#contract/listening.ts'

/** What a proxy in front is to know of a server. */
export type Behind = {
  /** Where the server listens for visitors. */
  readonly upstream: Address
  /** The names of the operator; Workers answer there and below. In lower case. */
  readonly domains: readonly string[]
}

/** The proxies for which there is a text. */
export const proxies = { caddy, nginx, haproxy } as const satisfies Record<
  string,
  (behind: Behind) => string
>

function addressOf({ upstream: { host, port } }: Behind): string {
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return reached.includes(':') ? `[${reached}]:${port}` : `${reached}:${port}`
}

function isLocal({ upstream: { host } }: Behind): boolean {
  return /^(127\.|0\.0\.0\.0$|::1?$|localhost$)/.test(host)
}

/** What is to be done on the other side, as a comment in each of the three. */
function preface(behind: Behind, path: string): string {
  const proxy = isLocal(behind) ? '127.0.0.1,::1' : '(the address of this proxy)'
  return `# ${path}, as printed by "bindery proxy-config".
# Start the server with --trusted-proxies ${proxy}
# or it takes all visitors for this proxy, and what they sent by TLS for plain HTTP.
`
}

function nginx(behind: Behind): string {
  const names = behind.domains.flatMap((name) => [name, `*.${name}`]).join(' ')
  return `${preface(behind, '/etc/nginx/conf.d/bindery.conf')}
upstream bindery {
    server ${addressOf(behind)};
    keepalive 64;
    # The server keeps idle connections for 75 s: nginx is to let go of them first.
    keepalive_timeout 60s;
}

# No header at all keeps a connection; a WebSocket needs it to be said.
map $http_upgrade $bindery_connection {
    default upgrade;
    ''      '';
}

server {
    listen 80;
    listen [::]:80;
    listen 443 ssl http2;
    listen [::]:443 ssl http2;
    server_name ${names};

    ssl_certificate     /etc/ssl/bindery/fullchain.pem;
    ssl_certificate_key /etc/ssl/bindery/privkey.pem;
    ssl_protocols       TLSv1.2 TLSv1.3;

    # As large as a Worker takes it, and as many headers.
    client_max_body_size        0;
    large_client_header_buffers 4 32k;
    underscores_in_headers      on;
    merge_slashes               off;

    location / {
        proxy_pass         http://bindery;
        proxy_http_version 1.1;
        proxy_set_header   Host              $http_host;
        proxy_set_header   Upgrade           $http_upgrade;
        proxy_set_header   Connection        $bindery_connection;
        proxy_set_header   X-Forwarded-For   $remote_addr;
        proxy_set_header   X-Forwarded-Proto $scheme;

        # Both ways as it comes.
        proxy_request_buffering off;
        proxy_buffering         off;
        proxy_buffer_size       64k;
        proxy_buffers           4 64k;
        proxy_busy_buffers_size 128k;
        proxy_read_timeout      1h;
        proxy_send_timeout      1h;
        # The server repeats what is safe to repeat by itself.
        proxy_next_upstream     off;
    }
}
`
}

function haproxy(behind: Behind): string {
  const rules = behind.domains.map(
    (name) => `    acl bindery var(txn.host) -m str ${name}
    acl bindery var(txn.host) -m end .${name}`,
  )
  return `${preface(behind, '/etc/haproxy/haproxy.cfg')}
global
    # Headers of 32 KB, and room for those of ours.
    tune.bufsize 65536

defaults
    mode http
    timeout connect         5s
    timeout http-request    60s
    timeout http-keep-alive 60s
    # Streams and WebSockets may be silent for as long.
    timeout client          1h
    timeout server          1h
    timeout tunnel          24h
    timeout client-fin      30s

frontend visitors
    bind :::80 v4v6
    # A folder of files that each hold a chain and its key.
    bind :::443 v4v6 ssl crt /etc/haproxy/certificates alpn h2,http/1.1 ssl-min-ver TLSv1.2
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
    http-request set-var(txn.host) hdr(host),field(1,:),lower
${rules.join('\n')}
    use_backend bindery if bindery

backend bindery
    # The server keeps idle connections for 75 s: haproxy is to let go of them first.
    http-reuse safe
    server bindery ${addressOf(behind)} pool-purge-delay 30s
`
}

function caddy(behind: Behind): string {
  const names = behind.domains.flatMap((name) => [name, `*.${name}`]).join(', ')
  return `${preface(behind, '/etc/caddy/Caddyfile')}
# Caddy gets certificates by itself. For names with a star it needs a module for your DNS
# (tls { dns ... }), or a certificate of yours: tls FULLCHAIN.pem KEY.pem
${names} {
	reverse_proxy ${addressOf(behind)} {
		# Both ways as it comes. X-Forwarded-* and WebSockets are Caddy's own affair.
		flush_interval -1
		transport http {
			# The server keeps idle connections for 75 s: Caddy is to let go of them first.
			keepalive 60s
			keepalive_idle_conns_per_host 64
		}
	}
}
`
}
