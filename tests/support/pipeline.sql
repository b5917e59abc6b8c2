-- The data pipeline's own tables, as sweepd meets them: before the daemon's migration has added anything.
-- Some installations are older and lack one column: support.postgres drops every line that names it.

CREATE TABLE data_pipeline_tasks (
    task_id VARCHAR(32) PRIMARY KEY,
    task_name VARCHAR(255),
    task_type VARCHAR(50) NOT NULL DEFAULT 'data_workflow',
    status VARCHAR(20) NOT NULL DEFAULT 'pending',
    parameters JSONB NOT NULL,
    result JSONB,
    error_message TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    started_at TIMESTAMP,
    completed_at TIMESTAMP,
    created_type VARCHAR(50) DEFAULT 'api',
    by_user VARCHAR(50),
    output_directory TEXT,
    db_name VARCHAR(100),
    CONSTRAINT chk_task_type CHECK (task_type IN ('data_workflow', 'complete_workflow')),
    CONSTRAINT chk_status CHECK (status IN ('pending', 'in_progress', 'partial_completed', 'completed', 'failed')),
    CONSTRAINT chk_created_type CHECK (created_type IN ('api', 'manual', 'system'))
);

CREATE TABLE data_pipeline_task_steps (
    id SERIAL PRIMARY KEY,
    task_id VARCHAR(32) REFERENCES data_pipeline_tasks (task_id) ON DELETE CASCADE,
    execution_id VARCHAR(100),
    step_name VARCHAR(50) NOT NULL,
    step_status VARCHAR(50) NOT NULL DEFAULT 'pending',
    started_at TIMESTAMP,
    completed_at TIMESTAMP,
    error_message TEXT,
    CONSTRAINT chk_step_name CHECK (step_name IN ('ddl_generation', 'qa_generation', 'sql_validation', 'training_load')),
    CONSTRAINT chk_step_status CHECK (step_status IN ('pending', 'running', 'completed', 'failed'))
);

CREATE INDEX idx_tasks_status ON data_pipeline_tasks (status);
CREATE INDEX idx_tasks_created_at ON data_pipeline_tasks (created_at DESC);
CREATE INDEX idx_tasks_db_name ON data_pipeline_tasks (db_name);
CREATE INDEX idx_tasks_created_type ON data_pipeline_tasks (created_type);
CREATE INDEX idx_tasks_task_type ON data_pipeline_tasks (task_type);
CREATE INDEX idx_steps_task_id ON data_pipeline_task_steps (task_id);
CREATE INDEX idx_steps_task_id_step_name ON data_pipeline_task_steps (task_id, step_name);

-- Columns under a view can be added to, but neither altered nor dropped: a migration that tries is refused.
CREATE VIEW v_data_pipeline_task_steps AS
SELECT
    t.task_id,
    t.task_name,
    t.task_type,
    t.status,
    t.created_at,
    t.started_at,
    t.completed_at,
    t.created_type,
    t.by_user,
    t.output_directory,
    t.db_name,
    s.id AS step_id,
    s.execution_id,
    s.step_name,
    s.step_status,
    s.started_at AS step_started_at,
    s.completed_at AS step_completed_at,
    s.error_message AS step_error_message
FROM data_pipeline_tasks AS t
LEFT JOIN data_pipeline_task_steps AS s ON s.task_id = t.task_id;
