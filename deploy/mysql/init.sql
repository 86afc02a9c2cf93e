-- The tables of the warm tier, for people to read: projector-mysql makes and
-- migrates them by itself (internal/tier/mysql/migrations), and a test holds this
-- file equal to what it makes. A database that was made with this file is gone on
-- with as well.
--
-- Times are those of the exchanges, UTC+8. Only the projector and replay write.
-- Rebuilds make tapedeck_shadow_… and keep tapedeck_previous_… beside these.

-- How far the tier is: the last event's sequence, and the chain value that proves
-- which log it is of. hold keeps the tier from going on; plan and owner belong to
-- a rebuild.
CREATE TABLE tapedeck_checkpoint (
  id       TINYINT         NOT NULL PRIMARY KEY CHECK (id = 1),
  sequence BIGINT UNSIGNED NOT NULL,
  chain    CHAR(64)        NOT NULL,
  hold     MEDIUMTEXT      NULL,
  plan     MEDIUMTEXT      NULL,
  owner    CHAR(26)        NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE account (
  id              BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id      VARCHAR(50)    NOT NULL UNIQUE,
  account_name    VARCHAR(100)   NOT NULL,
  broker          ENUM('QMT', 'GM', 'TDX') NOT NULL,
  initial_capital DECIMAL(20, 2) NOT NULL CHECK (initial_capital > 0),
  current_capital DECIMAL(20, 2) NOT NULL CHECK (current_capital >= 0),
  total_assets    DECIMAL(20, 2) NOT NULL CHECK (total_assets >= 0),
  position_value  DECIMAL(20, 2) NOT NULL CHECK (position_value >= 0),
  status          ENUM('active', 'inactive', 'suspended') NOT NULL,
  created_at      DATETIME(6)    NOT NULL,
  updated_at      DATETIME(6)    NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE strategy (
  id            BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  strategy_name VARCHAR(100) NOT NULL UNIQUE,
  strategy_code VARCHAR(50)  NOT NULL UNIQUE,
  strategy_type ENUM('wencai', 'remote', 'technical') NOT NULL,
  version       VARCHAR(20)  NOT NULL,
  status        ENUM('active', 'testing', 'inactive') NOT NULL,
  description   TEXT         NOT NULL,
  created_at    DATETIME(6)  NOT NULL,
  updated_at    DATETIME(6)  NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE account_strategy (
  id                BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
  account_id        BIGINT         NOT NULL,
  strategy_id       BIGINT         NOT NULL,
  allocated_capital DECIMAL(20, 2) NOT NULL CHECK (allocated_capital > 0),
  risk_limit        DECIMAL(5, 2)  NOT NULL CHECK (risk_limit >= 0 AND risk_limit <= 100),
  status            ENUM('active', 'paused') NOT NULL,
  created_at        DATETIME(6)    NOT NULL,
  updated_at        DATETIME(6)    NOT NULL,
  UNIQUE KEY uq_account_strategy (account_id, strategy_id),
  KEY idx_strategy (strategy_id),
  FOREIGN KEY (account_id) REFERENCES account (id),
  FOREIGN KEY (strategy_id) REFERENCES strategy (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row a key. position is the key's place in the saved object, raw the
-- member's own text where key and value do not say it already ("\u4e2d" for
-- "中"). A version without keys has one row with an empty key.
CREATE TABLE strategy_param (
  id          BIGINT       NOT NULL AUTO_INCREMENT UNIQUE,
  strategy_id BIGINT       NOT NULL,
  version     INT          NOT NULL CHECK (version > 0),
  param_key   VARCHAR(100) NOT NULL,
  param_value LONGTEXT     NOT NULL,
  param_type  ENUM('int', 'float', 'string', 'json') NOT NULL,
  is_active   TINYINT(1)   NOT NULL,
  remark      VARCHAR(500) NOT NULL,
  created_at  DATETIME(6)  NOT NULL,
  position    INT          NOT NULL,
  raw         LONGTEXT     NULL,
  PRIMARY KEY (strategy_id, version, param_key),
  KEY idx_strategy_active (strategy_id, is_active),
  FOREIGN KEY (strategy_id) REFERENCES strategy (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- email_key is the e-mail in lower case: two that differ in case are one.
CREATE TABLE user (
  id            BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  username      VARCHAR(50)  NOT NULL UNIQUE,
  password_hash VARCHAR(128) NOT NULL,
  email         VARCHAR(254) NOT NULL UNIQUE,
  email_key     VARCHAR(254) NOT NULL UNIQUE,
  real_name     VARCHAR(100) NOT NULL,
  status        ENUM('active', 'inactive', 'locked') NOT NULL,
  failed_logins BIGINT       NOT NULL CHECK (failed_logins >= 0),
  last_login_at DATETIME(6)  NULL,
  created_at    DATETIME(6)  NOT NULL,
  updated_at    DATETIME(6)  NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE role (
  id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  role_name   VARCHAR(50)  NOT NULL UNIQUE,
  role_code   VARCHAR(50)  NOT NULL UNIQUE,
  description VARCHAR(200) NOT NULL,
  created_at  DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE permission (
  id              BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
  permission_name VARCHAR(50)  NOT NULL UNIQUE,
  permission_code VARCHAR(100) NOT NULL UNIQUE,
  resource        VARCHAR(50)  NOT NULL,
  action          VARCHAR(50)  NOT NULL,
  description     VARCHAR(200) NOT NULL,
  created_at      DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  UNIQUE KEY uq_resource_action (resource, action)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE user_role (
  id         BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
  user_id    BIGINT      NOT NULL,
  role_id    BIGINT      NOT NULL,
  created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  UNIQUE KEY uq_user_role (user_id, role_id),
  KEY idx_role (role_id),
  FOREIGN KEY (user_id) REFERENCES user (id),
  FOREIGN KEY (role_id) REFERENCES role (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE role_permission (
  id            BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
  role_id       BIGINT      NOT NULL,
  permission_id BIGINT      NOT NULL,
  created_at    DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  UNIQUE KEY uq_role_permission (role_id, permission_id),
  KEY idx_permission (permission_id),
  FOREIGN KEY (role_id) REFERENCES role (id),
  FOREIGN KEY (permission_id) REFERENCES permission (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

INSERT INTO role (role_code, role_name, description) VALUES
  ('admin', '管理员', '所有权限'),
  ('developer', '策略开发', '策略配置与参数管理'),
  ('trader', '交易员', '账户、持仓与交易记录'),
  ('viewer', '只读用户', '仅查看');

INSERT INTO permission (permission_code, permission_name, resource, action, description) VALUES
  ('account:read', '查看账户', 'account', 'read', '账户与资金'),
  ('account:write', '管理账户', 'account', 'write', '创建、修改、停用账户，分配资金'),
  ('strategy:read', '查看策略', 'strategy', 'read', '策略与绑定'),
  ('strategy:write', '管理策略', 'strategy', 'write', '创建、修改、启停策略'),
  ('param:read', '查看参数', 'param', 'read', '参数及其历史版本'),
  ('param:write', '管理参数', 'param', 'write', '保存与回滚参数'),
  ('position:read', '查看持仓', 'position', 'read', '持仓天数与最高最低价'),
  ('trade:read', '查看交易', 'trade', 'read', '委托、成交与统计'),
  ('kline:read', '查看行情', 'kline', 'read', '日线'),
  ('user:read', '查看用户', 'user', 'read', '用户与角色'),
  ('user:write', '管理用户', 'user', 'write', '注册、锁定用户，授予角色'),
  ('system:read', '查看系统', 'system', 'read', '健康状况与延迟'),
  ('system:replay', '回放', 'system', 'replay', '重建、回滚、校验');

INSERT INTO role_permission (role_id, permission_id)
SELECT r.id, p.id FROM role r JOIN permission p
WHERE r.role_code = 'admin'
   OR r.role_code = 'developer' AND (p.action = 'read' AND p.resource <> 'user' OR p.permission_code IN ('strategy:write', 'param:write'))
   OR r.role_code = 'trader' AND p.action = 'read' AND p.resource <> 'user'
   OR r.role_code = 'viewer' AND p.action = 'read' AND p.resource NOT IN ('user', 'system');

INSERT INTO tapedeck_checkpoint (id, sequence, chain) VALUES (1, 0, REPEAT('0', 64));
