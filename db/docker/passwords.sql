-- Gives the four logins that Callboard uses the passwords in the container's environment. psql
-- runs this once, after the PostgreSQL image has created an empty database: see docker-compose.yml.
-- The other logins of roles.sql keep no password, so nobody can sign in as them.

\getenv api_password CALLBOARD_API_PASSWORD
\getenv migrator_password CALLBOARD_MIGRATOR_PASSWORD
\getenv worker_password CALLBOARD_WORKER_PASSWORD
\getenv support_password CALLBOARD_SUPPORT_PASSWORD

-- Failed statements are logged, and these contain passwords.
set log_min_error_statement = 'panic';

alter role callboard_api password :'api_password';
alter role callboard_migrator password :'migrator_password';
alter role callboard_worker password :'worker_password';
alter role callboard_support password :'support_password';
