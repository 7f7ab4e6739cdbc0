# Time zones compared with PHP, around every change of five zones and at random
# moments. TIMEZONES=all takes every zone that PHP knows.

TIMEZONE_OBJ := $(call obj,tests/compare/timezone_offsets.c)
-include $(TIMEZONE_OBJ:.o=.d)

$(B)/timezone_offsets: $(TIMEZONE_OBJ) $(B)/libwpcron.a
	@echo "  LD    $@"; \
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -Wl,--as-needed $(LIBS)

compare-timezone: $(B)/timezone_offsets
	@COMPARE_FORMATS=$(B)/timezone_offsets \
	$(PHP) -d memory_limit=1G tests/compare/timezone.php $(TIMEZONES)

compare: compare-timezone

.PHONY: compare-timezone
