from kombu import Queue
accept_content=["json"]
task_serializer="json"
task_ignore_result=True
task_acks_late=True
worker_prefetch_multiplier=1
broker_connection_retry_on_startup=True
task_default_queue="assess"
task_queues=[Queue("assess"),Queue("remedies"),Queue("sweep")]
task_routes={"refunds.assess":{"queue":"assess"},"refunds.rerun":{"queue":"remedies"},"refunds.announce":{"queue":"remedies"},"refunds.sweep":{"queue":"sweep"}}
broker_transport_options={"visibility_timeout":600,"unacked_restore_interval":5,"unacked_restore_throttle":1,"socket_timeout":10,"global_keyprefix":"refunds:"}
worker_hijack_root_logger=False
worker_send_task_events=True
task_send_sent_event=True
beat_scheduler="celery.beat:Scheduler"
worker_redirect_stdouts=False
