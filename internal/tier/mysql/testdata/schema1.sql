-- Schema 1 with the first 15 events of small(), as mariadb-dump wrote it. Frozen:
-- never edit, a later schema gets a dump of its own.
SET foreign_key_checks = 0;
CREATE TABLE `account` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `account_id` varchar(50) NOT NULL,
  `account_name` varchar(100) NOT NULL,
  `broker` enum('QMT','GM','TDX') NOT NULL,
  `initial_capital` decimal(20,2) NOT NULL CHECK (`initial_capital` > 0),
  `current_capital` decimal(20,2) NOT NULL CHECK (`current_capital` >= 0),
  `total_assets` decimal(20,2) NOT NULL CHECK (`total_assets` >= 0),
  `position_value` decimal(20,2) NOT NULL CHECK (`position_value` >= 0),
  `status` enum('active','inactive','suspended') NOT NULL,
  `created_at` datetime(6) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `account_id` (`account_id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `account` VALUES (1,'acc-01','生产账户 🚀','QMT',999999999999999.99,123456789.01,123456789.01,0.00,'active','2025-01-02 09:30:00.000000','2025-01-02 09:30:13.000013');
INSERT INTO `account` VALUES (2,'acc-01-b','改名','GM',0.01,0.01,0.01,0.00,'active','2025-01-02 09:30:01.000001','2025-01-02 09:30:14.000014');
CREATE TABLE `account_strategy` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `account_id` bigint(20) NOT NULL,
  `strategy_id` bigint(20) NOT NULL,
  `allocated_capital` decimal(20,2) NOT NULL CHECK (`allocated_capital` > 0),
  `risk_limit` decimal(5,2) NOT NULL CHECK (`risk_limit` >= 0 and `risk_limit` <= 100),
  `status` enum('active','paused') NOT NULL,
  `created_at` datetime(6) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uq_account_strategy` (`account_id`,`strategy_id`),
  KEY `idx_strategy` (`strategy_id`),
  CONSTRAINT `account_strategy_ibfk_1` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`),
  CONSTRAINT `account_strategy_ibfk_2` FOREIGN KEY (`strategy_id`) REFERENCES `strategy` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `account_strategy` VALUES (1,2,1,0.01,5.00,'paused','2025-01-02 09:30:05.000005','2025-01-02 09:30:05.000005');
INSERT INTO `account_strategy` VALUES (2,1,2,999999999999999.99,0.01,'active','2025-01-02 09:30:04.000004','2025-01-02 09:30:04.000004');
CREATE TABLE `permission` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `permission_name` varchar(50) NOT NULL,
  `permission_code` varchar(100) NOT NULL,
  `resource` varchar(50) NOT NULL,
  `action` varchar(50) NOT NULL,
  `description` varchar(200) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT current_timestamp(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `permission_name` (`permission_name`),
  UNIQUE KEY `permission_code` (`permission_code`),
  UNIQUE KEY `uq_resource_action` (`resource`,`action`)
) ENGINE=InnoDB AUTO_INCREMENT=14 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `permission` VALUES (1,'查看账户','account:read','account','read','账户与资金','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (2,'管理账户','account:write','account','write','创建、修改、停用账户，分配资金','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (3,'查看策略','strategy:read','strategy','read','策略与绑定','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (4,'管理策略','strategy:write','strategy','write','创建、修改、启停策略','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (5,'查看参数','param:read','param','read','参数及其历史版本','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (6,'管理参数','param:write','param','write','保存与回滚参数','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (7,'查看持仓','position:read','position','read','持仓天数与最高最低价','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (8,'查看交易','trade:read','trade','read','委托、成交与统计','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (9,'查看行情','kline:read','kline','read','日线','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (10,'查看用户','user:read','user','read','用户与角色','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (11,'管理用户','user:write','user','write','注册、锁定用户，授予角色','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (12,'查看系统','system:read','system','read','健康状况与延迟','2026-11-23 21:30:13.868061');
INSERT INTO `permission` VALUES (13,'回放','system:replay','system','replay','重建、回滚、校验','2026-11-23 21:30:13.868061');
CREATE TABLE `role` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `role_name` varchar(50) NOT NULL,
  `role_code` varchar(50) NOT NULL,
  `description` varchar(200) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT current_timestamp(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `role_name` (`role_name`),
  UNIQUE KEY `role_code` (`role_code`)
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `role` VALUES (1,'管理员','admin','所有权限','2026-11-23 21:30:13.867487');
INSERT INTO `role` VALUES (2,'策略开发','developer','策略配置与参数管理','2026-11-23 21:30:13.867487');
INSERT INTO `role` VALUES (3,'交易员','trader','账户、持仓与交易记录','2026-11-23 21:30:13.867487');
INSERT INTO `role` VALUES (4,'只读用户','viewer','仅查看','2026-11-23 21:30:13.867487');
CREATE TABLE `role_permission` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `role_id` bigint(20) NOT NULL,
  `permission_id` bigint(20) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT current_timestamp(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `uq_role_permission` (`role_id`,`permission_id`),
  KEY `idx_permission` (`permission_id`),
  CONSTRAINT `role_permission_ibfk_1` FOREIGN KEY (`role_id`) REFERENCES `role` (`id`),
  CONSTRAINT `role_permission_ibfk_2` FOREIGN KEY (`permission_id`) REFERENCES `permission` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=64 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `role_permission` VALUES (1,1,1,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (2,2,1,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (3,3,1,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (4,4,1,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (5,1,2,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (6,1,3,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (7,2,3,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (8,3,3,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (9,4,3,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (10,1,4,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (11,2,4,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (12,1,5,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (13,2,5,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (14,3,5,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (15,4,5,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (16,1,6,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (17,2,6,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (18,1,7,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (19,2,7,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (20,3,7,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (21,4,7,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (22,1,8,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (23,2,8,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (24,3,8,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (25,4,8,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (26,1,9,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (27,2,9,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (28,3,9,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (29,4,9,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (30,1,10,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (31,1,11,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (32,1,12,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (33,2,12,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (34,3,12,'2026-11-23 21:30:13.868448');
INSERT INTO `role_permission` VALUES (35,1,13,'2026-11-23 21:30:13.868448');
CREATE TABLE `strategy` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `strategy_name` varchar(100) NOT NULL,
  `strategy_code` varchar(50) NOT NULL,
  `strategy_type` enum('wencai','remote','technical') NOT NULL,
  `version` varchar(20) NOT NULL,
  `status` enum('active','testing','inactive') NOT NULL,
  `description` text NOT NULL,
  `created_at` datetime(6) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `strategy_name` (`strategy_name`),
  UNIQUE KEY `strategy_code` (`strategy_code`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `strategy` VALUES (1,'Remote','remote','remote','999999.999999.999999','active','','2025-01-02 09:30:03.000003','2025-01-02 09:30:03.000003');
INSERT INTO `strategy` VALUES (2,'问财选股','wencai_v1','wencai','1.0.0','testing','第一行\n第二行','2025-01-02 09:30:02.000002','2025-01-02 09:30:02.000002');
CREATE TABLE `strategy_param` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `strategy_id` bigint(20) NOT NULL,
  `version` int(11) NOT NULL CHECK (`version` > 0),
  `param_key` varchar(100) NOT NULL,
  `param_value` longtext NOT NULL,
  `param_type` enum('int','float','string','json') NOT NULL,
  `is_active` tinyint(1) NOT NULL,
  `remark` varchar(500) NOT NULL,
  `created_at` datetime(6) NOT NULL,
  `position` int(11) NOT NULL,
  `raw` longtext DEFAULT NULL,
  PRIMARY KEY (`strategy_id`,`version`,`param_key`),
  UNIQUE KEY `id` (`id`),
  KEY `idx_strategy_active` (`strategy_id`,`is_active`),
  CONSTRAINT `strategy_param_ibfk_1` FOREIGN KEY (`strategy_id`) REFERENCES `strategy` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=9 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `strategy_param` VALUES (2,1,1,'a','null','json',1,'','2025-01-02 09:30:11.000011',1,NULL);
INSERT INTO `strategy_param` VALUES (1,1,1,'b','','string',1,'','2025-01-02 09:30:11.000011',0,NULL);
INSERT INTO `strategy_param` VALUES (3,2,1,'slot_count','10','int',1,'首版','2025-01-02 09:30:06.000006',0,NULL);
INSERT INTO `strategy_param` VALUES (6,2,1,'t','true','json',1,'首版','2025-01-02 09:30:06.000006',3,NULL);
INSERT INTO `strategy_param` VALUES (5,2,1,'text','中\n','string',1,'首版','2025-01-02 09:30:06.000006',2,'\"text\":\"\\u4e2d\\n\"');
INSERT INTO `strategy_param` VALUES (4,2,1,'止盈','[1E400,{\"a\":-0.0}]','json',1,'首版','2025-01-02 09:30:06.000006',1,NULL);
INSERT INTO `strategy_param` VALUES (7,2,2,'','{}','json',0,'','2025-01-02 09:30:09.000009',0,NULL);
INSERT INTO `strategy_param` VALUES (8,2,3,'slot_count','12345678901234567890','int',0,'🚀','2025-01-02 09:30:10.000010',0,NULL);
CREATE TABLE `tapedeck_checkpoint` (
  `id` tinyint(4) NOT NULL CHECK (`id` = 1),
  `sequence` bigint(20) unsigned NOT NULL,
  `chain` char(64) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `tapedeck_checkpoint` VALUES (1,15,'000000000000000f000000000000000000000000000000000000000000000001');
CREATE TABLE `tapedeck_schema` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `version_id` bigint(20) NOT NULL,
  `is_applied` tinyint(1) NOT NULL,
  `tstamp` datetime DEFAULT current_timestamp(),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `tapedeck_schema` VALUES (1,0,1,'2026-11-23 21:30:13');
INSERT INTO `tapedeck_schema` VALUES (2,1,1,'2026-11-23 21:30:13');
CREATE TABLE `user` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `username` varchar(50) NOT NULL,
  `password_hash` varchar(128) NOT NULL,
  `email` varchar(254) NOT NULL,
  `email_key` varchar(254) NOT NULL,
  `real_name` varchar(100) NOT NULL,
  `status` enum('active','inactive','locked') NOT NULL,
  `failed_logins` bigint(20) NOT NULL CHECK (`failed_logins` >= 0),
  `last_login_at` datetime(6) DEFAULT NULL,
  `created_at` datetime(6) NOT NULL,
  `updated_at` datetime(6) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `username` (`username`),
  UNIQUE KEY `email` (`email`),
  UNIQUE KEY `email_key` (`email_key`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `user` VALUES (1,'Han','$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234','Han@example.com','han@example.com','','active',0,NULL,'2025-01-02 09:30:08.000008','2025-01-02 09:30:08.000008');
INSERT INTO `user` VALUES (2,'li_lei','$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234','Li@example.com','li@example.com','李雷','active',0,NULL,'2025-01-02 09:30:07.000007','2025-01-02 09:30:07.000007');
CREATE TABLE `user_role` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `user_id` bigint(20) NOT NULL,
  `role_id` bigint(20) NOT NULL,
  `created_at` datetime(6) NOT NULL DEFAULT current_timestamp(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `uq_user_role` (`user_id`,`role_id`),
  KEY `idx_role` (`role_id`),
  CONSTRAINT `user_role_ibfk_1` FOREIGN KEY (`user_id`) REFERENCES `user` (`id`),
  CONSTRAINT `user_role_ibfk_2` FOREIGN KEY (`role_id`) REFERENCES `role` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `user_role` VALUES (1,1,3,'2026-11-23 21:30:13.898892');
INSERT INTO `user_role` VALUES (2,2,1,'2026-11-23 21:30:13.898892');
INSERT INTO `user_role` VALUES (3,2,4,'2026-11-23 21:30:13.898892');
SET foreign_key_checks = 1;
