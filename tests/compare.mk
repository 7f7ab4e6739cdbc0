# Formats compared with PHP on generated cases: COMPARE_CASES (10000) and
# COMPARE_SEED choose them. With ACTION_SCHEDULER_DIR, a checkout of Action
# Scheduler, also with the plugin's own cron parser and schedule classes.
# cron_array and mime_mail need WordPress (WORDPRESS_DIR), whose functions they
# call.

PHP ?= php
COMPARE := php_serialize php_serialize_json php_query cron_array cron_expression action_schedule action_args
COMPARE_OBJ := $(call obj,tests/compare/compare_formats.c)
-include $(COMPARE_OBJ:.o=.d)

$(B)/compare_formats: $(COMPARE_OBJ) $(B)/libwpcron.a
	@echo "  LD    $@"; \
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -Wl,--as-needed $(LIBS)

COMPARE_MAIL_OBJ := $(call obj,tests/compare/compare_mail.c)
-include $(COMPARE_MAIL_OBJ:.o=.d)

$(B)/compare_mail: $(COMPARE_MAIL_OBJ) $(B)/libwpcron.a
	@echo "  LD    $@"; \
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -Wl,--as-needed $(LIBS)

compare: $(addprefix compare-,$(COMPARE)) compare-mime_mail

compare-mime_mail: $(B)/compare_mail
	@COMPARE_FORMATS=$(B)/compare_mail \
	$(PHP) -d memory_limit=1G tests/compare/mime_mail.php

$(addprefix compare-,$(COMPARE)): compare-%: $(B)/compare_formats
	@COMPARE_FORMATS=$(B)/compare_formats \
	$(PHP) -d memory_limit=1G tests/compare/$*.php

.PHONY: compare $(addprefix compare-,$(COMPARE)) compare-mime_mail
