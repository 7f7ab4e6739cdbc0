<?php
/**
 * What only PHP knows of a publisher's contacts: the part of worker.php that
 * is loaded for a request whose `ask` is `what` contacts. It stands beside it.
 *
 * Everything goes through Newspack's own classes and filters, of any version
 * that has them; what a version lacks is asked for by method_exists(). Never
 * inside a data event: what is pushed here is pushed at once.
 *
 *   ask        {what, op, list: [entry]}; each entry has `i`, its number
 *     prepare  {u, g, c}: the contact of user u as it would be pushed to
 *              integration g in context c
 *     push     {u, g, c, p}: pushed by the integration's class; p: the address
 *              it had before, or ""
 *     pull     {u, g}: pulled by the integration's class, and stored
 *     store    {u, items: [[key, JSON]]}: reader data
 *     options  {name, value}, in this order
 *     alert    {a, g, u, c, r, n}: action a; reason r, n retries
 *     describe {}: the integrations, for an administrator
 *
 * Frames are those of WPCron_FCGI_Part; the fields of an answer:
 *     prepare  email, name, status, fields: [[label, text, is a number]]
 *     store    refused, how many items were
 *     describe told
 *     not ok: gone (no such user) too
 */

if ( ! class_exists( 'WPCron_FCGI_Worker', false ) ) {
	http_response_code( 404 );
	exit;
}

final class WPCron_FCGI_Contacts {
	use WPCron_FCGI_Part;

	const ACTIVATION = 'Newspack\Reader_Activation\\';
	const OPS        = array(
		// Class => method that the operation cannot do without.
		'prepare'  => array(
			'Integrations'  => 'get_integration',
			'Contact_Sync'  => 'get_contact_data',
			'Sync\Metadata' => 'normalize_contact_data',
		),
		'push'     => array(
			'Integrations'  => 'get_integration',
			'Contact_Sync'  => 'get_contact_data',
			'Sync\Metadata' => 'normalize_contact_data',
		),
		'pull'     => array( 'Integrations' => 'get_integration' ),
		'store'    => array(),
		'options'  => array(),
		'alert'    => array(),
		'describe' => array( 'Integrations' => 'get_available_integrations' ),
	);
	const ALERTS     = array( 'newspack_sync_retry_exhausted', 'newspack_sync_contact_failed', 'newspack_sync_permanent_failure' );
	// Metadata that says what to do with the contact, and is no field of it.
	const CONTROL    = array( 'status', 'status_if_new' );
	const DATA_KEYS  = 'newspack_reader_data_keys';
	const DATA_ITEM  = 'newspack_reader_data_item_';
	const DATA_MAX   = 100;

	private static $built  = array(); // array( key, contact ): of the last reader
	private static $fields = array(); // integration => keys it may store
	private static $guard;            // WP_Error of the site as a whole

	private static function why_not( $op ) {
		return self::missing( self::OPS[ $op ] );
	}

	private static function before( array $entries ) {
		self::forget();
		self::read_users( $entries );
	}

	private static function code_of_exception( $op ) {
		return 'pull' === $op ? 'pull_exception' : 'exception';
	}

	private static function missing( array $needed ) {
		foreach ( $needed as $class => $method ) {
			$name = self::ACTIVATION . $class;
			if ( ! class_exists( $name ) ) {
				return "there is no class $name: Newspack is not active, or has another structure";
			}
			if ( ! is_callable( array( $name, $method ) ) ) {
				return "$name has no method $method()";
			}
		}
		return null;
	}

	/** Nothing was sent, and nothing is to be tried again by itself. */
	private static function held( $message ) {
		return self::no( 'held', $message );
	}

	private static function gone() {
		return array( 'gone' => true ) + self::no( 'user_not_found', 'User not found.' );
	}

	/* ---- memory -------------------------------------------------------- */

	private static function read_users( array $entries ) {
		$ids = array_unique( array_filter( array_column( $entries, 'u' ) ) );
		$ids && cache_users( $ids );
	}

	/** Readers that were dealt with; a shared cache keeps what is its own. */
	private static function forget() {
		$shared = wp_using_ext_object_cache();
		if ( function_exists( 'wp_cache_flush_runtime' )
			&& ( ! $shared || ( function_exists( 'wp_cache_supports' ) && wp_cache_supports( 'flush_runtime' ) ) ) ) {
			wp_cache_flush_runtime();
		} elseif ( ! $shared ) {
			wp_cache_flush();
		}
		self::$built = array();
	}

	/* ---- contacts ------------------------------------------------------ */

	private static function call( $class, $method, ...$args ) {
		return call_user_func( array( self::ACTIVATION . $class, $method ), ...$args );
	}

	/** What a version of the plugin may not have yet. */
	private static function is( $integration, $method ) {
		return ! method_exists( $integration, $method ) || $integration->$method();
	}

	private static function integration( array $entry ) {
		$integration = self::call( 'Integrations', 'get_integration', $entry['g'] );
		return $integration ? $integration : new WP_Error( 'integration_not_found', sprintf( 'Integration "%s" not found.', $entry['g'] ) );
	}

	/** As it is before an integration makes it its own; WP_Error: it cannot. */
	private static function contact( array $entry ) {
		$key = $entry['u'] . ' ' . $entry['c'];
		if ( ! self::$built || self::$built[0] !== $key ) {
			self::$built = array( $key, self::build( $entry ) );
		}
		return self::$built[1];
	}

	private static function build( array $entry ) {
		$contact = self::call( 'Contact_Sync', 'get_contact_data', (int) $entry['u'] );
		if ( is_wp_error( $contact ) ) {
			return $contact;
		}
		if ( ! is_array( $contact ) || empty( $contact['email'] ) ) {
			return new WP_Error( 'newspack_esp_sync_contact', 'Contact email is empty.' );
		}
		return apply_filters( 'newspack_esp_sync_contact', $contact, $entry['c'] );
	}

	/**
	 * array( what is pushed, what it was made from ). Where integrations
	 * prepare contacts themselves, the contact was normalized when it was
	 * built; before that it is at this point that the plugin does so.
	 */
	private static function prepared( array $entry, $integration ) {
		$contact = self::contact( $entry );
		if ( is_wp_error( $contact ) ) {
			return $contact;
		}
		$class = $integration ? $integration : self::ACTIVATION . 'Integration';
		if ( method_exists( $class, 'prepare_contact' ) ) {
			return array( $integration ? $integration->prepare_contact( $contact ) : $contact, $contact );
		}
		$contact = self::call( 'Sync\Metadata', 'normalize_contact_data', $contact );
		return array( $contact, $contact );
	}

	private static function prepare( array $entry ) {
		if ( ! get_userdata( $entry['u'] ) ) {
			return self::gone();
		}
		// One that the program alone knows gets the contact as it is before
		// an integration makes it its own.
		$made = self::prepared( $entry, self::call( 'Integrations', 'get_integration', $entry['g'] ) );
		if ( is_wp_error( $made ) ) {
			return $made;
		}
		$metadata = isset( $made[0]['metadata'] ) ? (array) $made[0]['metadata'] : array();
		$status   = '';
		foreach ( self::CONTROL as $key ) {
			if ( ! empty( $metadata[ $key ] ) && is_string( $metadata[ $key ] ) ) {
				$status = $metadata[ $key ]; // The last one counts.
			}
			unset( $metadata[ $key ] );
		}
		return self::yes(
			array(
				'email'  => (string) $made[0]['email'],
				'name'   => isset( $made[0]['name'] ) ? (string) $made[0]['name'] : '',
				'status' => $status,
				'fields' => array_map( array( __CLASS__, 'field' ), array_keys( $metadata ), $metadata ),
			)
		);
	}

	private static function field( $name, $value ) {
		$number = is_int( $value ) || is_float( $value );
		if ( is_float( $value ) || is_array( $value ) || is_object( $value ) ) {
			$value = wp_json_encode( $value, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES );
		}
		return array( (string) $name, (string) $value, $number );
	}

	private static function push( array $entry ) {
		if ( ! get_userdata( $entry['u'] ) ) {
			return self::gone();
		}
		$integration = self::integration( $entry );
		if ( is_wp_error( $integration ) ) {
			return $integration;
		}
		$why = self::not_pushed( $integration );
		if ( null !== $why ) {
			return self::held( $why );
		}
		$made = self::prepared( $entry, $integration );
		if ( is_wp_error( $made ) ) {
			return $made;
		}
		$existing = '' !== $entry['p'] ? array( 'email' => $entry['p'] ) + $made[1] : null;
		$result   = $integration->push_contact_data( $made[0], $entry['c'], $existing );
		return is_wp_error( $result ) ? $result : self::yes();
	}

	/** Why nothing may be pushed to it from this site now; null: it may. */
	private static function not_pushed( $integration ) {
		if ( null === self::$guard ) {
			self::$guard = self::site_guard();
		}
		if ( self::$guard->has_errors() ) {
			return implode( '; ', self::$guard->get_error_messages() );
		}
		if ( ! self::is( $integration, 'is_set_up' ) ) {
			return sprintf( 'Integration "%s" is not set up.', $integration->get_id() );
		}
		return self::is( $integration, 'is_push_enabled' ) ? null : sprintf( 'Outbound sync is disabled for integration "%s".', $integration->get_id() );
	}

	private static function site_guard() {
		$guard = self::call( 'Contact_Sync', 'can_sync', true );
		return is_wp_error( $guard ) ? $guard : new WP_Error();
	}

	/* ---- reader data --------------------------------------------------- */

	/** By the rules of Contact_Pull, and stored undamaged. */
	private static function pull( array $entry ) {
		if ( ! get_userdata( $entry['u'] ) ) {
			return self::gone();
		}
		$integration = self::integration( $entry );
		if ( is_wp_error( $integration ) ) {
			return $integration;
		}
		$id = $integration->get_id();
		if ( ! self::is( $integration, 'is_set_up' ) || ! self::is( $integration, 'is_pull_enabled' ) ) {
			return self::held( sprintf( 'Integration "%s" is not set up, or inbound sync is disabled for it.', $id ) );
		}
		$keys = self::enabled_keys( $integration );
		if ( ! $keys ) {
			return new WP_Error( 'no_selected_incoming_fields', 'No selected incoming fields for ' . $id );
		}
		$data = $integration->pull_contact_data( (int) $entry['u'] );
		if ( is_wp_error( $data ) ) {
			return $data;
		}
		if ( ! is_array( $data ) ) {
			return new WP_Error( 'invalid_pull_payload', 'Invalid pull payload from ' . $id );
		}
		$items = array();
		foreach ( array_intersect_key( $data, $keys ) as $key => $value ) {
			$items[ $key ] = wp_json_encode( $value, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES );
		}
		$refused = self::store_items( (int) $entry['u'], $items );
		if ( $refused ) {
			return new WP_Error( 'reader_data_write_failed', sprintf( 'Failed storing %d of %d reader data item(s): %s', count( $refused ), count( $items ), self::list_of( $refused ) ) );
		}
		return self::yes();
	}

	/** key => true. It may ask the provider, so once a request. */
	private static function enabled_keys( $integration ) {
		$id = $integration->get_id();
		if ( ! isset( self::$fields[ $id ] ) ) {
			self::$fields[ $id ] = array();
			foreach ( $integration->get_enabled_incoming_fields() as $field ) {
				self::$fields[ $id ][ is_object( $field ) ? $field->get_key() : (string) $field ] = true;
			}
		}
		return self::$fields[ $id ];
	}

	private static function list_of( array $refused ) {
		$words = array();
		foreach ( $refused as $key => $why ) {
			$words[] = sprintf( '"%s": %s', $key, $why );
		}
		return implode( '; ', $words );
	}

	private static function store( array $entry ) {
		if ( ! get_userdata( $entry['u'] ) ) {
			return self::gone();
		}
		$items = array();
		foreach ( $entry['items'] as list( $key, $json ) ) {
			$items[ $key ] = $json;
		}
		$refused = self::store_items( (int) $entry['u'], $items );
		return self::yes( array( 'refused' => count( $refused ), 'msg' => WPCron_FCGI_Worker::cut( self::list_of( $refused ) ) ) );
	}

	/** key => why, of those that were not stored. */
	private static function store_items( $user, array $items ) {
		$refused = array();
		foreach ( $items as $key => $json ) {
			if ( ! is_string( $json ) ) {
				$refused[ $key ] = 'Invalid value.';
			} elseif ( ! self::has_item( $user, $key, $json ) ) {
				$result = self::store_item( $user, $key, $json );
				if ( is_wp_error( $result ) ) {
					$refused[ $key ] = $result->get_error_message();
				}
			}
		}
		return $refused;
	}

	private static function keys_of( $user ) {
		$keys = get_user_meta( $user, self::DATA_KEYS, true );
		return is_array( $keys ) ? $keys : array();
	}

	private static function has_item( $user, $key, $json ) {
		return get_user_meta( $user, self::DATA_ITEM . $key, true ) === $json && in_array( $key, self::keys_of( $user ), true );
	}

	/**
	 * update_metadata() takes a level of backslashes off what it is given, and
	 * the plugin gives it JSON as it is. Its last filter puts them back.
	 */
	private static function store_item( $user, $key, $json ) {
		$filter = 'sanitize_user_meta_' . self::DATA_ITEM . $key;
		$keep   = function ( $value ) use ( $json ) {
			foreach ( array( $json, sanitize_text_field( $json ) ) as $whole ) {
				if ( wp_unslash( $whole ) === $value ) {
					return $whole;
				}
			}
			return $value;
		};
		add_filter( $filter, $keep, PHP_INT_MIN );
		try {
			$result = is_callable( array( 'Newspack\Reader_Data', 'update_item' ) )
				? call_user_func( array( 'Newspack\Reader_Data', 'update_item' ), $user, $key, $json )
				: self::write_item( $user, $key, $json );
			// Some versions take the number 0 for no value.
			return is_wp_error( $result ) && 'invalid_value' === $result->get_error_code() && '0' === $json
				? self::write_item( $user, $key, $json ) : $result;
		} finally {
			remove_filter( $filter, $keep, PHP_INT_MIN );
		}
	}

	/** Where the class is not there: what it would do. */
	private static function write_item( $user, $key, $json ) {
		$keys = self::keys_of( $user );
		if ( ! in_array( $key, $keys, true ) ) {
			if ( count( $keys ) >= self::DATA_MAX ) {
				return new WP_Error( 'too_many_items', 'Too many items.' );
			}
			$keys[] = $key;
			update_user_meta( $user, self::DATA_KEYS, $keys );
		}
		update_user_meta( $user, self::DATA_ITEM . $key, $json );
		return true;
	}

	/* ---- options, alerts ----------------------------------------------- */

	/** Against what is stored now: this process' copy is as old as its boot. */
	private static function options( array $entry ) {
		wp_cache_delete( $entry['name'], 'options' );
		wp_cache_delete( 'notoptions', 'options' );
		wp_load_alloptions( true );
		update_option( $entry['name'], $entry['value'] );
		return (string) get_option( $entry['name'] ) === $entry['value'] ? self::yes()
			: self::no( 'not_written', sprintf( 'The option %s has another value after it was written.', $entry['name'] ) );
	}

	private static function alert( array $entry ) {
		if ( ! in_array( $entry['a'], self::ALERTS, true ) ) {
			return self::no( 'unknown', 'no alert ' . $entry['a'] );
		}
		$user = get_userdata( $entry['u'] );
		$data = array( 'integration_id' => $entry['g'] );
		if ( 'newspack_sync_contact_failed' === $entry['a'] ) {
			$data['contact'] = array(
				'email'    => $user ? $user->user_email : '',
				'name'     => $user ? $user->display_name : '',
				'metadata' => array(),
			);
		} else {
			$data['user_id'] = (int) $entry['u'];
		}
		if ( 'newspack_sync_permanent_failure' === $entry['a'] ) {
			$data['email'] = $user ? $user->user_email : '';
		}
		$data['context'] = $entry['c'];
		if ( 'newspack_sync_retry_exhausted' === $entry['a'] ) {
			$data['retry_count'] = (int) $entry['n'];
		}
		$data['reason'] = $entry['r'];
		if ( 'newspack_sync_retry_exhausted' !== $entry['a'] ) {
			$data += self::error_class( $entry['r'] );
		}
		do_action( $entry['a'], $data );
		return self::yes();
	}

	/** The plugin's own judgement, where it has one; it has no public way. */
	private static function error_class( $reason ) {
		if ( ! method_exists( self::ACTIVATION . 'Contact_Sync', 'classify_error' ) ) {
			return array();
		}
		$method = new ReflectionMethod( self::ACTIVATION . 'Contact_Sync', 'classify_error' );
		$method->setAccessible( true );
		return array( 'error_class' => $method->invoke( null, new WP_Error( 'newspack_esp_sync_failed', $reason ) ) );
	}

	/* ---- for an administrator ------------------------------------------ */

	private static function describe() {
		$told = array();
		foreach ( self::call( 'Integrations', 'get_available_integrations' ) as $id => $integration ) {
			$told[] = array(
				'id'       => (string) $id,
				'name'     => (string) $integration->get_name(),
				// The name of an anonymous class goes on after a NUL.
				'class'    => strtok( get_class( $integration ), "\0" ),
				'enabled'  => (bool) self::call( 'Integrations', 'is_enabled', $id ),
				'set_up'   => (bool) self::is( $integration, 'is_set_up' ),
				'push'     => (bool) self::is( $integration, 'is_push_enabled' ),
				'pull'     => (bool) self::is( $integration, 'is_pull_enabled' ),
				// From the option: the method may ask the provider.
				'incoming' => array_map( 'strval', array_keys( (array) get_option( 'newspack_integration_incoming_fields_' . $id, array() ) ) ),
				'outgoing' => method_exists( $integration, 'get_enabled_outgoing_fields' ) ? array_values( (array) $integration->get_enabled_outgoing_fields() ) : array(),
			);
		}
		$metadata = self::ACTIVATION . 'Sync\Metadata';
		$guard    = is_callable( array( self::ACTIVATION . 'Contact_Sync', 'can_sync' ) ) ? self::site_guard() : new WP_Error();
		return self::yes(
			array(
				'told' => array(
					'integrations'     => $told,
					'metadata_version' => is_callable( array( $metadata, 'get_version' ) ) ? (string) call_user_func( array( $metadata, 'get_version' ) ) : null,
					'woocommerce'      => class_exists( 'WC_Customer' ),
					'can_sync'         => array( 'ok' => ! $guard->has_errors(), 'message' => implode( '; ', $guard->get_error_messages() ) ),
				),
			)
		);
	}
}
